#include "store/root_attributes.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <set>

#include "core/error.hpp"
#include "core/files.hpp"
#include "store/sealed_file.hpp"

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

void write_provenance(hid_t file) {
  write_build(file);
  h5::set_attribute(file, "created_utc", utc_now());
  h5::set_attribute(file, "host", host_name());
  h5::set_attribute(file, "slurm_job_id", environment("SLURM_JOB_ID"));
  h5::set_attribute(file, "slurm_array_job_id", environment("SLURM_ARRAY_JOB_ID"));
  h5::set_attribute(file, "slurm_array_task_id", environment("SLURM_ARRAY_TASK_ID"));
  h5::set_attribute(file, "slurm_restart_count", restart_count());
}

}  // namespace

std::int64_t restart_count() { return std::strtoll(environment("SLURM_RESTART_COUNT").c_str(), nullptr, 10); }

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

void write_attributes(hid_t file, const Record& r, const RowHeader& header) {
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
  write_provenance(file);
  for (const auto& [name, value] : r.text_attributes) h5::set_attribute(file, name, value);
  for (const auto& [name, value] : r.integer_attributes) h5::set_attribute(file, name, value);
}

RowHeader read_header_attributes(hid_t file) {
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
  return h;
}

void read_free_attributes(hid_t file, Record& r) {
  for (const auto& [name, kind] : h5::attributes(file)) {
    if (kReserved.count(name)) continue;
    if (kind == h5::AttributeKind::kText) r.text_attributes[name] = h5::text_attribute(file, name);
    if (kind == h5::AttributeKind::kInteger) r.integer_attributes[name] = h5::integer_attribute(file, name);
  }
}

}  // namespace expunge::store
