#include "store/store_file.hpp"

#include <cstdlib>
#include <mutex>
#include <set>

#include "core/build_info.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/hash.hpp"
#include "core/log.hpp"
#include "store/sealed_file.hpp"
#include "store/summary.hpp"

namespace expunge::store {
namespace {

// Root attributes with a meaning of their own; a record's free attributes may not take these names.
const std::set<std::string> kReserved = {"schema_version",
                                         "kind",
                                         "complete",
                                         "id",
                                         "key",
                                         "dataset",
                                         "model",
                                         "method",
                                         "sweep",
                                         "ratio",
                                         "seed",
                                         "status",
                                         "status_text",
                                         "parameter_hash",
                                         "science_sha256",
                                         "config_sha256",
                                         "row_schema_sha256",
                                         "program_version",
                                         "git_hash",
                                         "git_dirty",
                                         "compiler",
                                         "hdf5_version",
                                         "created_utc",
                                         "host",
                                         "slurm_job_id",
                                         "slurm_array_job_id",
                                         "slurm_array_task_id",
                                         "slurm_restart_count"};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::int64_t restart_count() { return std::strtoll(environment("SLURM_RESTART_COUNT").c_str(), nullptr, 10); }

void write_provenance(hid_t file) {
  write_build(file);
  h5::set_attribute(file, "created_utc", utc_now());
  h5::set_attribute(file, "host", host_name());
  h5::set_attribute(file, "slurm_job_id", environment("SLURM_JOB_ID"));
  h5::set_attribute(file, "slurm_array_job_id", environment("SLURM_ARRAY_JOB_ID"));
  h5::set_attribute(file, "slurm_array_task_id", environment("SLURM_ARRAY_TASK_ID"));
  h5::set_attribute(file, "slurm_restart_count", restart_count());
}

void write_named(hid_t file, const std::string& name, const std::map<std::string, double>& values) {
  std::vector<std::string> names;
  std::vector<double> numbers;
  for (const auto& [key, value] : values) {
    names.push_back(key);
    numbers.push_back(value);
  }
  h5::write<double>(file, name, numbers, {numbers.size()});
  const h5::Handle dataset = h5::open_dataset(file, name);
  h5::set_attribute(dataset, "names", names);
}

std::map<std::string, double> read_named(hid_t file, const std::string& name) {
  const h5::Handle dataset = h5::open_dataset(file, name);
  const auto numbers = h5::values_of<double>(dataset, name);
  const auto names = h5::texts_attribute(dataset, "names");
  if (names.size() != numbers.size())
    throw h5::Failure(fmt::format("{}: {} names for {} values", name, names.size(), numbers.size()));
  std::map<std::string, double> out;
  for (std::size_t i = 0; i < names.size(); ++i) out[names[i]] = numbers[i];
  return out;
}

void write_splits(hid_t file, const Record& record) {
  const h5::Handle group = h5::create_group(file, "metrics");
  for (const auto& [name, sums] : record.splits) {
    const h5::Handle split = h5::create_group(group, h5::link_name(name));
    h5::write<std::int64_t>(split, "count", {{sums.count}}, {});
    h5::write<std::int64_t>(split, "correct", {{sums.correct}}, {});
    h5::write<std::int64_t>(split, "classes", {{sums.classes}}, {});
    h5::write<double>(split, "loss_sum", {{sums.loss_sum}}, {});
    if (sums.confusion.empty()) continue;
    const auto side = static_cast<hsize_t>(sums.classes);
    h5::write<std::int64_t>(split, "confusion", sums.confusion, {side, side});
  }
}

std::map<std::string, SplitSums> read_splits(hid_t file) {
  std::map<std::string, SplitSums> out;
  const h5::Handle group = h5::open_group(file, "metrics");
  const auto integer = [](hid_t split, const char* name) {
    const auto values = h5::read<std::int64_t>(split, name);
    if (values.size() != 1) throw h5::Failure(fmt::format("metrics/{} is not one number", name));
    return values[0];
  };
  for (const auto& name : h5::children(group)) {
    const h5::Handle split = h5::open_group(group, name);
    SplitSums sums;
    sums.count = integer(split, "count");
    sums.correct = integer(split, "correct");
    sums.classes = integer(split, "classes");
    sums.loss_sum = h5::read<double>(split, "loss_sum").at(0);
    if (h5::has(split, "confusion")) sums.confusion = h5::read<std::int64_t>(split, "confusion");
    out[h5::text_of_link(name)] = std::move(sums);
  }
  return out;
}

void write_outputs(hid_t file, const Record& record) {
  if (record.outputs.empty()) return;
  const h5::Handle group = h5::create_group(file, "logits");
  for (const auto& [name, o] : record.outputs) {
    const std::string link = h5::link_name(name);
    h5::write<float>(group, link, o.logits, {o.ids.size(), static_cast<hsize_t>(o.classes)},
                     {.chunk_rows = 1024, .deflate = 1});
    h5::write<std::int64_t>(group, link + "_index", o.ids, {o.ids.size()});
    h5::write<std::int64_t>(group, link + "_label", o.labels, {o.labels.size()});
    if (o.answers) h5::write<std::int64_t>(group, link + "_answers", std::vector<std::int64_t>{1}, {1});
  }
}

std::map<std::string, SplitOutputs> read_outputs(hid_t file) {
  std::map<std::string, SplitOutputs> out;
  if (!h5::has(file, "logits")) return out;
  const h5::Handle group = h5::open_group(file, "logits");
  for (const auto& link : h5::children(group)) {
    if (!h5::has(group, link + "_index")) continue;  // an index or label dataset itself
    SplitOutputs o;
    o.logits = h5::read<float>(group, link);
    o.ids = h5::read<std::int64_t>(group, link + "_index");
    o.labels = h5::read<std::int64_t>(group, link + "_label");
    o.classes = static_cast<std::int64_t>(h5::shape(group, link).at(1));
    o.answers = h5::has(group, link + "_answers");
    out[h5::text_of_link(link)] = std::move(o);
  }
  return out;
}

// A dataset f64[rows, columns] with the attribute `columns`.
void write_table(hid_t file, const char* name, const std::vector<std::string>& columns,
                 const std::vector<double>& values) {
  const std::size_t rows = columns.empty() ? 0 : values.size() / columns.size();
  h5::write<double>(file, name, values, {rows, columns.size()},
                    {.chunk_rows = 1024, .deflate = 4, .checksum = true});
  const h5::Handle dataset = h5::open_dataset(file, name);
  h5::set_attribute(dataset, "columns", columns);
}

void read_table(hid_t file, const char* name, std::vector<std::string>& columns,
                std::vector<double>& values) {
  values = h5::read<double>(file, name);
  const h5::Handle dataset = h5::open_dataset(file, name);
  columns = h5::texts_attribute(dataset, "columns");
}

void write_segments(hid_t file, const Record& record) {
  std::vector<std::int64_t> numbers;
  std::vector<std::string> hosts, starts;
  for (const auto& s : record.segments) {
    numbers.insert(numbers.end(), {s.world_size, s.first_step, s.last_step});
    hosts.push_back(s.host);
    starts.push_back(s.started_utc);
  }
  h5::write<std::int64_t>(file, "segments", numbers, {record.segments.size(), 3});
  const h5::Handle dataset = h5::open_dataset(file, "segments");
  h5::set_attribute(dataset, "host", hosts);
  h5::set_attribute(dataset, "started_utc", starts);
}

std::vector<Segment> read_segments(hid_t file) {
  const auto numbers = h5::read<std::int64_t>(file, "segments");
  const h5::Handle dataset = h5::open_dataset(file, "segments");
  const auto hosts = h5::texts_attribute(dataset, "host"),
             starts = h5::texts_attribute(dataset, "started_utc");
  if (numbers.size() != 3 * hosts.size() || hosts.size() != starts.size())
    throw h5::Failure("segments: sizes do not agree");
  std::vector<Segment> out;
  for (std::size_t i = 0; i < hosts.size(); ++i)
    out.push_back({numbers[3 * i], numbers[3 * i + 1], numbers[3 * i + 2], hosts[i], starts[i]});
  return out;
}

void check_record(const fs::path& path, const Record& r) {
  const auto require = [&](bool holds, const char* what) {
    EXPUNGE_CHECK(holds, "{}: {}", path.string(), what);
  };
  require(r.kind == "run" || r.kind == "original", "a store holds a run or an original");
  require(r.row.size() == r.row_names.size(), "the row has as many names as values");
  const auto whole = [](const std::vector<std::string>& columns, const std::vector<double>& values) {
    return columns.empty() ? values.empty() : values.size() % columns.size() == 0;
  };
  require(whole(r.history_columns, r.history), "the history has whole rows");
  require(whole(r.request_columns, r.requests), "the requests have whole rows");
  for (const auto& [name, s] : r.splits)
    require(s.confusion.empty() || s.confusion.size() == static_cast<std::size_t>(s.classes * s.classes),
            "a confusion matrix is square");
  for (const auto& [name, o] : r.outputs)
    require(o.labels.size() == o.ids.size() &&
                o.logits.size() == o.ids.size() * static_cast<std::size_t>(o.classes),
            "outputs have one label and one row of logits a sample");
  for (const auto& [name, value] : r.text_attributes)
    EXPUNGE_CHECK(!kReserved.count(name), "attribute {} is written by the store itself", name);
  for (const auto& [name, value] : r.integer_attributes)
    EXPUNGE_CHECK(!kReserved.count(name) && !r.text_attributes.count(name), "attribute {} is written twice",
                  name);
}

void fill_store(const h5::Handle& file, const Record& r, const RowHeader& header) {
  for (const auto& [name, value] : {std::pair{"id", &r.id},
                                    {"key", &r.key},
                                    {"dataset", &r.dataset},
                                    {"model", &r.model},
                                    {"method", &r.method},
                                    {"sweep", &r.sweep},
                                    {"status", &r.status},
                                    {"status_text", &r.status_text},
                                    {"parameter_hash", &r.parameter_hash},
                                    {"science_sha256", &header.science_sha256}})
    h5::set_attribute(file, name, *value);
  h5::set_attribute(file, "ratio", r.ratio);
  h5::set_attribute(file, "seed", r.seed);
  h5::set_attribute(file, "config_sha256", header.config_sha256);
  h5::set_attribute(file, "row_schema_sha256", header.row_schema_sha256);
  h5::write<double>(file, "row", r.row, {r.row.size()});
  write_named(file, "timing", r.timing);
  write_provenance(file);
  for (const auto& [name, value] : r.text_attributes) h5::set_attribute(file, name, value);
  for (const auto& [name, value] : r.integer_attributes) h5::set_attribute(file, name, value);
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

// What header_of will read of the finished file.
RowHeader header_of(const Record& r, const std::string& science) {
  RowHeader h;
  h.kind = r.kind, h.id = r.id, h.key = r.key, h.dataset = r.dataset, h.model = r.model;
  h.method = r.method, h.sweep = r.sweep, h.status = r.status, h.status_text = r.status_text;
  h.ratio = r.ratio, h.seed = r.seed;
  h.science_sha256 = science;
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

RowHeader header_of(hid_t file) {
  RowHeader h;
  for (const auto& [name, into] : {std::pair{"kind", &h.kind},
                                   {"id", &h.id},
                                   {"key", &h.key},
                                   {"dataset", &h.dataset},
                                   {"model", &h.model},
                                   {"method", &h.method},
                                   {"sweep", &h.sweep},
                                   {"status", &h.status},
                                   {"status_text", &h.status_text},
                                   {"parameter_hash", &h.parameter_hash},
                                   {"science_sha256", &h.science_sha256},
                                   {"config_sha256", &h.config_sha256},
                                   {"row_schema_sha256", &h.row_schema_sha256},
                                   {"git_hash", &h.git_hash},
                                   {"host", &h.host}})
    *into = h5::text_attribute(file, name);
  h.ratio = h5::real_attribute(file, "ratio");
  h.seed = h5::integer_attribute(file, "seed");
  h.restart_count = h5::integer_attribute(file, "slurm_restart_count");
  h.row = h5::read<double>(file, "row");
  h.timing = read_named(file, "timing");
  h.config_json = h5::read_text(file, "config_json");
  return h;
}

void read_free_attributes(hid_t file, Record& r) {
  for (const auto& [name, kind] : h5::attributes(file)) {
    if (kReserved.count(name)) continue;
    if (kind == h5::AttributeKind::kText) r.text_attributes[name] = h5::text_attribute(file, name);
    if (kind == h5::AttributeKind::kInteger) r.integer_attributes[name] = h5::integer_attribute(file, name);
  }
}

}  // namespace

std::string row_schema_sha256(const std::vector<std::string>& row_names) {
  Sha256 hash;
  for (const auto& name : row_names) hash.add(name).add("\n");
  return hash.hex();
}

Published write_record(const fs::path& path, const Record& record) {
  check_record(path, record);
  const RowHeader header = header_of(record, science_sha256(record));
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

Record read_record(const fs::path& path) {
  const h5::Handle file = open_store(path);
  Record r;
  reading(path, [&] {
    RowHeader h = header_of(file);
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
  reading(path, [&] { out = header_of(file); });
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
