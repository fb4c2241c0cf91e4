#include "store/checkpoint_file.hpp"

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/log.hpp"
#include "store/sealed_file.hpp"

namespace expunge::store {
namespace {

template <class T>
void write_arrays(hid_t file, const char* group_name, const std::map<std::string, std::vector<T>>& arrays) {
  const h5::Handle group = h5::create_group(file, group_name);
  for (const auto& [name, values] : arrays) h5::write<T>(group, h5::link_name(name), values, {values.size()});
}

template <class T>
std::map<std::string, std::vector<T>> read_arrays(hid_t file, const char* group_name) {
  std::map<std::string, std::vector<T>> out;
  const h5::Handle group = h5::open_group(file, group_name);
  for (const auto& link : h5::children(group)) out[h5::text_of_link(link)] = h5::read<T>(group, link);
  return out;
}

std::size_t expected_bytes(const Checkpoint& c) {
  std::size_t out = 16 << 10;
  for (const auto& [name, values] : c.f32) out += values.size() * sizeof(float);
  for (const auto& [name, values] : c.f64) out += values.size() * sizeof(double);
  for (const auto& [name, values] : c.i64) out += values.size() * sizeof(std::int64_t);
  return out;
}

h5::Handle open_checkpoint(const fs::path& path) {
  h5::Handle file = open_sealed(path);
  reading(path, [&] {
    const auto kind = h5::text_attribute(file, "kind");
    if (kind != "checkpoint")
      throw DataError::corrupt(fmt::format("{}: is a {}, not a checkpoint", path.string(), kind));
  });
  return file;
}

Checkpoint contents(const fs::path& path, const h5::Handle& file) {
  Checkpoint c;
  reading(path, [&] {
    c.cell_id = h5::text_attribute(file, "id");
    c.sequence = h5::integer_attribute(file, "sequence");
    c.state = nlohmann::json::from_cbor(h5::read<std::uint8_t>(file, "state"));
    c.f32 = read_arrays<float>(file, "f32");
    c.f64 = read_arrays<double>(file, "f64");
    c.i64 = read_arrays<std::int64_t>(file, "i64");
  });
  return c;
}

}  // namespace

void write_checkpoint(const fs::path& path, const Checkpoint& checkpoint) {
  write_sealed(path, "checkpoint", Publish::kReplace, expected_bytes(checkpoint),
               [&](const h5::Handle& file) {
                 h5::set_attribute(file, "id", checkpoint.cell_id);
                 h5::set_attribute(file, "sequence", checkpoint.sequence);
                 h5::set_attribute(file, "created_utc", utc_now());
                 h5::set_attribute(file, "host", host_name());
                 // CBOR, because JSON text has no NaN.
                 const auto state = nlohmann::json::to_cbor(checkpoint.state);
                 h5::write<std::uint8_t>(file, "state", state, {state.size()});
                 write_arrays(file, "f32", checkpoint.f32);
                 write_arrays(file, "f64", checkpoint.f64);
                 write_arrays(file, "i64", checkpoint.i64);
               });
}

Checkpoint read_checkpoint(const fs::path& path) { return contents(path, open_checkpoint(path)); }

std::optional<Checkpoint> read_newest(const fs::path& path0, const fs::path& path1) {
  std::optional<fs::path> newest;
  h5::Handle file;
  std::int64_t sequence = 0;
  for (const auto& path : {path0, path1}) {
    std::error_code ignored;
    if (!fs::exists(path, ignored)) continue;
    try {
      h5::Handle candidate = open_checkpoint(path);
      std::int64_t number = 0;
      reading(path, [&] { number = h5::integer_attribute(candidate, "sequence"); });
      if (newest && number < sequence) continue;
      newest = path;
      sequence = number;
      file = std::move(candidate);
    } catch (const DataError& error) {
      log::warn("{}; skipping this checkpoint", error.what());
    }
  }
  if (!newest) return std::nullopt;
  return contents(*newest, file);
}

}  // namespace expunge::store
