// Metrics computed again, or for the first time, from the per-sample outputs that stores keep ([run]
// keep_outputs = true) without running a cell.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "board/board.hpp"
#include "metrics/metric.hpp"
#include "store/record.hpp"

namespace expunge::board {

// Reads stores of a sweep's folder as inputs of metrics. Keeps the last original and the last retrained cell.
class KeptOutputs {
 public:
  explicit KeptOutputs(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Outputs of the cell, of its original ("original.SPLIT") and, for other methods, of `retrain`
  // ("retrain.SPLIT"), if given. False with the reason when the cell keeps no outputs. DataError for damaged
  // stores.
  bool load(const Row& row, const Row* retrain, metrics::Inputs& into, std::string& reason);

 private:
  const store::Record* cell(const std::string& id);
  const store::Record* original(const std::string& id);

  std::filesystem::path folder_;
  std::map<std::string, store::Record> originals_;
  std::string retrain_id_;
  store::Record retrain_, cell_;
};

struct Recomputed {
  std::size_t cells = 0;                       // that got new values
  std::map<std::string, std::size_t> skipped;  // merged cells that did not, by reason
};

// Whether kept outputs are all that the metric needs.
bool from_outputs_alone(const metrics::Metric& metric);

// Writes the metrics' columns of every merged cell of the board (new columns go to the end). UsageError for
// an unknown metric, or one that needs what no store keeps. `evaluation_seed`: instead of the cells' own, -1
// = own.
Recomputed recompute(const std::filesystem::path& folder, const std::vector<std::string>& metric_names,
                     Board& board, std::int64_t evaluation_seed = -1);

// The ok retrain cell of the same data set, model, ratio, seed and original; null when there is none.
const Row* retrain_of(const Board& board, const Row& row);

}  // namespace expunge::board
