#include "store/store_file.hpp"

#include <fstream>
#include <mutex>

#include "core/build_info.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/hash.hpp"
#include "core/log.hpp"
#include "store/record_parts.hpp"
#include "store/root_attributes.hpp"
#include "store/seal.hpp"
#include "store/sealed_file.hpp"
#include "store/summary.hpp"

namespace expunge::store {
namespace {

void fill_store(const h5::Handle& file, const Record& r, const RowHeader& header) {
  write_attributes(file, r, header);
  h5::write<double>(file, "row", r.row, {r.row.size()});
  write_named(file, "timing", r.timing);
  h5::write_texts(file, "row_names", r.row_names);
  h5::write_text(file, "config_json", header.config_json);
  write_named(file, "flops", r.flops);
  write_splits(file, r);
  write_table(file, "history", r.history_columns, r.history);
  if (!r.requests.empty()) write_table(file, "requests", r.request_columns, r.requests);
  h5::write<double>(file, "rank_seconds", r.rank_seconds, {r.rank_seconds.size()});
  write_segments(file, r);
  write_outputs(file, r);
}

std::size_t expected_bytes(const Record& r) {
  std::size_t out = 32 << 10;
  for (const auto& [name, o] : r.outputs) out += o.logits.size() * sizeof(float) + o.ids.size() * 16;
  return out;
}

h5::Handle open_store(const fs::path& path, const SealedBytes& bytes) {
  h5::Handle file = open_sealed(path, bytes);
  reading(path, [&] {
    const auto kind = h5::text_attribute(file, "kind");
    if (kind != "run" && kind != "original")
      throw DataError::corrupt(fmt::format("{}: is a {}, not a store", path.string(), kind));
  });
  return file;
}

h5::Handle open_store(const fs::path& path) { return open_store(path, SealedBytes(path)); }

// HDF5 may be used by one thread at a time.
std::mutex& hdf5_turn() {
  static std::mutex turn;
  return turn;
}

RowHeader read_header(hid_t file) {
  RowHeader h = read_header_attributes(file);
  h.row = h5::read<double>(file, "row");
  h.timing = read_named(file, "timing");
  h.config_json = h5::read_text(file, "config_json");
  return h;
}

}  // namespace

std::string row_schema_sha256(const std::vector<std::string>& row_names) {
  Sha256 hash;
  for (const auto& name : row_names) hash.add(name).add("\n");
  return hash.hex();
}

RowHeader header_of(const Record& r) {
  RowHeader h;
  h.kind = r.kind, h.id = r.id, h.key = r.key, h.dataset = r.dataset, h.model = r.model;
  h.method = r.method, h.sweep = r.sweep, h.status = r.status, h.status_text = r.status_text;
  h.ratio = r.ratio, h.seed = r.seed;
  h.science_sha256 = science_sha256(r);
  h.parameter_hash = r.parameter_hash;
  h.config_json = r.config.dump();
  h.config_sha256 = sha256_hex(h.config_json);
  h.row_schema_sha256 = row_schema_sha256(r.row_names);
  h.git_hash = build_info::kGitHash;
  h.host = host_name();
  h.restart_count = restart_count();
  h.row = r.row;
  h.timing = r.timing;
  return h;
}

Published write_record(const fs::path& path, const Record& record) {
  check_record(path, record);
  const RowHeader header = header_of(record);
  Published outcome = Published::kFirst;
  write_sealed(
      path, record.kind, Publish::kFirst, expected_bytes(record),
      [&](const h5::Handle& file) { fill_store(file, record, header); },
      [&](const fs::path& unpublished) {
        try {
          verify_seal(path);
        } catch (const DataError& error) {
          log::warn("{}; replacing it", error.what());
          publish_replace(unpublished, path);
          return;
        }
        outcome =
            read_row(path).science_sha256 == header.science_sha256 ? Published::kSame : Published::kDiffers;
      },
      summary_bytes(header));
  return outcome;
}

void write_summary(const fs::path& path, const Record& record) {
  check_record(path, record);
  const std::string body = summary_bytes(header_of(record));
  make_folder(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file << seal_of(body) << body;
  file.close();
  if (!file) throw DataError::cannot_write(fmt::format("{}: cannot write", path.string()));
}

Record read_record(const fs::path& path) {
  const h5::Handle file = open_store(path);
  Record r;
  reading(path, [&] {
    RowHeader h = read_header(file);
    r.kind = h.kind, r.id = h.id, r.key = h.key, r.dataset = h.dataset, r.model = h.model,
    r.method = h.method, r.sweep = h.sweep;
    r.status = h.status, r.status_text = h.status_text, r.ratio = h.ratio, r.seed = h.seed,
    r.parameter_hash = h.parameter_hash;
    r.row = std::move(h.row), r.timing = std::move(h.timing);
    r.row_names = h5::read_texts(file, "row_names");
    if (row_schema_sha256(r.row_names) != h.row_schema_sha256 || r.row_names.size() != r.row.size())
      throw h5::Failure("row_names do not belong to the row");
    if (sha256_hex(h.config_json) != h.config_sha256)
      throw h5::Failure("config_json does not match config_sha256");
    r.config = nlohmann::json::parse(h.config_json);
    read_free_attributes(file, r);
    r.flops = read_named(file, "flops");
    r.splits = read_splits(file);
    read_table(file, "history", r.history_columns, r.history);
    if (h5::has(file, "requests")) read_table(file, "requests", r.request_columns, r.requests);
    r.rank_seconds = h5::read<double>(file, "rank_seconds");
    r.segments = read_segments(file);
    r.outputs = read_outputs(file);
    if (science_sha256(r) != h.science_sha256)
      throw h5::Failure("science_sha256 does not match the contents");
  });
  return r;
}

RowHeader read_row(const fs::path& path) {
  const SealedBytes bytes(path);
  if (auto header = summary_of(bytes.view())) return std::move(*header);
  const std::lock_guard lock(hdf5_turn());
  const h5::Handle file = open_store(path, bytes);
  RowHeader out;
  reading(path, [&] { out = read_header(file); });
  return out;
}

std::vector<std::string> read_row_names(const fs::path& path) {
  const SealedBytes bytes(path);
  const std::lock_guard lock(hdf5_turn());
  const h5::Handle file = open_store(path, bytes);
  std::vector<std::string> out;
  reading(path, [&] { out = h5::read_texts(file, "row_names"); });
  return out;
}

nlohmann::json read_attributes(const fs::path& path) {
  const h5::Handle file = open_sealed(path);
  nlohmann::json out;
  reading(path, [&] {
    for (const auto& [name, kind] : h5::attributes(file)) {
      if (kind == h5::AttributeKind::kText) out[name] = h5::text_attribute(file, name);
      if (kind == h5::AttributeKind::kInteger) out[name] = h5::integer_attribute(file, name);
      if (kind == h5::AttributeKind::kReal) out[name] = h5::real_attribute(file, name);
    }
  });
  return out;
}

}  // namespace expunge::store
