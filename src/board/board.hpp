// A board: the cells of a sweep with what their stores say, in one table; HDF5 with kind="board".
//
//   attributes  schema_version kind complete sweep sweep_sha256 science_sha256 row_schema_sha256, counts
//   (cells, merged, failed, corrupt,
//               foreign, missing), program_version git_hash git_dirty compiler hdf5_version
//   /rows f64[N,R]  /row_names text[R]    NaN where undefined or not merged
//   /timing f64[N,T]  /timing_names text[T]    seconds; not science
//   /cells/{id,key,dataset,model,method,original_id,status,reason,parameter_hash,science_sha256,config_sha256,
//   git_hash,host} text[N], ratio f64[N], seed i64[N]
//   /config u8 with /config_end i64[N]: each cell's resolved settings as JSON, one after the other
//   attribute recomputed (optional): metrics whose columns were computed from kept outputs by the reducer
//
// Its bytes depend only on the stores, the failure records and the program, so a board can be made again and
// compared.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "board/plan_file.hpp"
#include "board/settings_text.hpp"

namespace expunge::board {

struct Row {
  PlannedCell cell;
  std::string status =
      "missing";               // ok | diverged | budget: merged; failed | missing | corrupt | foreign: not
  std::string reason;          // why it is not ok, or what else is to be known
  std::vector<double> values;  // one per column; NaN where not merged
  std::vector<double> timing;
  std::string parameter_hash, science_sha256, config_sha256;
  SettingsText config_json;
  std::string git_hash, host;  // provenance of the store; empty on boards of older programs
  bool merged() const { return status == "ok" || status == "diverged" || status == "budget"; }
};

struct Board {
  std::string sweep, sweep_sha256;
  std::vector<std::string> row_names, timing_names;
  std::vector<Row> rows;                // by key
  std::vector<std::string> recomputed;  // metrics made from kept outputs when the board was made
  std::size_t count(const std::string& status) const;
  std::size_t merged() const;
};

// SHA-256 over column names and, by key, each cell's id, status and store's science_sha256: equal boards mean
// equal results.
std::string science_sha256(const Board& board);

// Publishes atomically, replacing. DataError 73 when it cannot be written.
void write_board(const std::filesystem::path& path, const Board& board);

// DataError 66 when there is no file, 65 when it is damaged or no board.
Board read_board(const std::filesystem::path& path);

}  // namespace expunge::board
