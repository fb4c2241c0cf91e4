// Stores on disk: one HDF5 file per finished cell or original, schema 1.
//
//   attributes  schema_version kind complete id key dataset model method sweep ratio seed status status_text
//   parameter_hash
//               science_sha256 config_sha256 row_schema_sha256, provenance (program_version git_hash
//               git_dirty compiler hdf5_version created_utc host slurm_*), and the record's text and integer
//               attributes under their own names
//   /row f64[R]  /row_names text[R]
//   /metrics/SPLIT/{count,correct,classes i64, loss_sum f64, confusion i64[C,C]}
//   /config_json text (resolved settings; config_sha256 is its hash)
//   /timing f64[P], /flops f64[K], each with the attribute `names`
//   /history f64[E,H] with the attribute `columns`
//   /requests f64[k,Q] the same, where D_f arrived in parts
//   /rank_seconds f64[ranks]  /segments i64[S,3] (world size, first step, last step) with the attributes
//   `host`, `started_utc` /logits/SPLIT f32[N,C], SPLIT_index i64[N], SPLIT_label i64[N], where outputs were
//   kept
//   behind the HDF5 part, under the seal: the summary (store/summary.hpp)
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "store/record.hpp"

namespace expunge::store {

enum class Published {
  kFirst,    // the record is now in the file
  kSame,     // another process was first, with the same science
  kDiffers,  // another process was first, with other science: its file stands
};

// Publishes the record atomically. A damaged file under the name is replaced. DataError 73 when it cannot be
// written; nothing half-written is left.
Published write_record(const std::filesystem::path& path, const Record& record);

// A store of the summary alone, replacing: all that a board or a status reads, in a quarter of the space. For
// measuring how those do on very many stores.
void write_summary(const std::filesystem::path& path, const Record& record);

// The whole record. DataError 66 when there is no file; 65 when it is damaged, of another schema, or a board
// or checkpoint.
Record read_record(const std::filesystem::path& path);

// What a board needs of a store. Errors as for read_record.
struct RowHeader {
  std::string kind, id, key, dataset, model, method, sweep, status, status_text;
  double ratio = 0;
  std::int64_t seed = 0;
  std::string science_sha256, parameter_hash, config_sha256, row_schema_sha256;
  std::string git_hash, host;      // of the program, and where its root ran; provenance
  std::int64_t restart_count = 0;  // of the scheduler's job that wrote it
  std::vector<double> row;
  std::map<std::string, double> timing;  // seconds
  std::string config_json;               // resolved settings
};
// What read_row will give of this record's file.
RowHeader header_of(const Record& record);
// From the summary at the end of the file, or, where there is none, through HDF5. This and read_row_names may
// be called by several threads at once.
RowHeader read_row(const std::filesystem::path& path);

// Names of the row's columns.
std::vector<std::string> read_row_names(const std::filesystem::path& path);

// SHA-256 of the column names: `row_schema_sha256`.
std::string row_schema_sha256(const std::vector<std::string>& row_names);

// Every root attribute of any file of this program (store, board, checkpoint) as JSON. Errors as for
// read_record.
nlohmann::json read_attributes(const std::filesystem::path& path);

}  // namespace expunge::store
