// The contents of a store, in memory. One finished cell (or original) = one HDF5 file, schema 1.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace expunge::store {

inline constexpr std::int64_t kSchemaVersion = 1;

// Exact sums of one split, so that any accuracy can be recomputed.
struct SplitSums {
  std::int64_t count = 0, correct = 0, classes = 0;  // samples; of a language model tokens, classes 0
  double loss_sum = 0;
  std::vector<std::int64_t> confusion;  // [classes, classes], row = label; empty when classes is above 256
};

// Per-sample outputs, kept where asked (always for originals).
struct SplitOutputs {
  std::vector<std::int64_t> ids, labels;
  std::vector<float> logits;  // [n, classes]
  std::int64_t classes = 0;
  bool answers = false;  // rows are about answers (metrics::Outputs)
};

struct Segment {  // one incarnation of a run
  std::int64_t world_size = 1, first_step = 0, last_step = 0;
  std::string host, started_utc;
};

struct Record {
  std::string kind = "run";  // run | original
  // Science: what two runs of the same cell must agree on.
  std::string id, key;  // key: "dataset=.../model=.../method=.../ratio=.../seed=..."
  std::string dataset, model, method, sweep;
  double ratio = 0;
  std::int64_t seed = 0;
  std::string status = "ok";  // ok | diverged | budget
  std::string status_text;
  std::vector<std::string> row_names;
  std::vector<double> row;  // NaN = not defined
  std::map<std::string, SplitSums> splits;
  std::string parameter_hash;  // XXH3-128 of parameters and float buffers, padding excluded
  nlohmann::json config;       // resolved settings, defaults included
  // One row a deletion request where D_f arrives in parts, [requests, columns]; a column called seconds is
  // provenance.
  std::vector<std::string> request_columns;
  std::vector<double> requests;

  // Provenance: may differ between two runs of the same cell.
  std::map<std::string, std::string>
      text_attributes;  // sweep_sha256, dataset_checksum, deletion_sha256, trainable, auc_score,
                        // mia_attacker, mia_feature, reduction, transport, device, dtype, ...
  std::map<std::string, std::int64_t> integer_attributes;  // grain, threads, world_size, task_index, ...
  std::vector<Segment> segments;
  std::vector<double> rank_seconds;      // busy seconds of each rank of the last segment
  std::map<std::string, double> timing;  // seconds: load, train, unlearn, eval, checkpoint, comm, wall
  std::map<std::string, double> flops;   // forward, backward, teacher, unlearn_total, eval_total, hf_6NT
  std::vector<std::string> history_columns;
  std::vector<double> history;                  // [rows, columns], row-major; one row an epoch
  std::map<std::string, SplitOutputs> outputs;  // by split
};

// SHA-256 over id, status, row names and bits, parameter hash, split sums and requests.
std::string science_sha256(const Record& record);

}  // namespace expunge::store
