#include "tensor/safetensors.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.hpp"
#include "core/files.hpp"
#include "tensor/mapped_tensor.hpp"

namespace expunge::tensor {
namespace {

constexpr std::uint64_t kMaxHeader = 100'000'000;

struct Dtype {
  const char* name;
  torch::ScalarType type;
  std::int64_t bytes;
};
constexpr Dtype kDtypes[] = {{"F64", torch::kDouble, 8}, {"I64", torch::kLong, 8},
                             {"F32", torch::kFloat, 4},  {"I32", torch::kInt, 4},
                             {"F16", torch::kHalf, 2},   {"BF16", torch::kBFloat16, 2},
                             {"I16", torch::kShort, 2},  {"I8", torch::kChar, 1},
                             {"U8", torch::kByte, 1},    {"BOOL", torch::kBool, 1}};

[[noreturn]] void corrupt(const fs::path& path, const std::string& what) {
  throw DataError::corrupt(fmt::format("{}: not a sound safetensors file: {}", path.string(), what));
}

// The header, with duplicate names refused.
nlohmann::json parse_header(const fs::path& path, std::string_view text) {
  std::vector<std::set<std::string>> keys;
  std::string duplicate;
  const auto watch = [&](int, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    if (event == nlohmann::json::parse_event_t::object_start) keys.emplace_back();
    if (event == nlohmann::json::parse_event_t::object_end) keys.pop_back();
    if (event == nlohmann::json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
      duplicate = parsed.get<std::string>();
    return true;
  };
  try {
    if (text.empty() || text.front() != '{') corrupt(path, "the header does not begin with {");
    auto header = nlohmann::json::parse(text, watch);
    if (!duplicate.empty()) corrupt(path, fmt::format("\"{}\" appears twice", duplicate));
    return header;
  } catch (const nlohmann::json::exception& error) {
    corrupt(path, fmt::format("the header is not JSON ({})", error.what()));
  }
}

struct Region {
  std::string name;
  const Dtype* dtype;
  std::vector<std::int64_t> shape;
  std::int64_t begin, end;  // relative to the end of the header
};

// A list of sizes or offsets: whole numbers that fit an int64.
std::vector<std::int64_t> parse_numbers(const fs::path& path, const std::string& name,
                                        const nlohmann::json& entry, const char* key) {
  const auto list = entry.find(key);
  std::vector<std::int64_t> out;
  bool sound = list != entry.end() && list->is_array();
  for (std::size_t i = 0; sound && i < list->size(); ++i) {
    sound = (*list)[i].is_number_unsigned() && (*list)[i].get<std::uint64_t>() <= std::uint64_t{1} << 62;
    if (sound) out.push_back((*list)[i].get<std::int64_t>());
  }
  if (!sound) corrupt(path, fmt::format("{} has no sound {}", name, key));
  return out;
}

Region parse_region(const fs::path& path, const std::string& name, const nlohmann::json& entry,
                    std::int64_t data_bytes) {
  if (!entry.is_object()) corrupt(path, fmt::format("the entry of {} is not a JSON object", name));
  const auto offsets = parse_numbers(path, name, entry, "data_offsets");
  if (offsets.size() != 2)
    corrupt(path, fmt::format("{} has {} data_offsets, expected 2", name, offsets.size()));
  Region r{name, nullptr, parse_numbers(path, name, entry, "shape"), offsets[0], offsets[1]};
  const auto dtype = entry.find("dtype");
  if (dtype == entry.end() || !dtype->is_string()) corrupt(path, fmt::format("{} has no dtype", name));
  for (const auto& d : kDtypes)
    if (*dtype == d.name) r.dtype = &d;
  if (!r.dtype)
    corrupt(path, fmt::format("{} has dtype {}, which is not supported", name, dtype->get<std::string>()));
  std::int64_t bytes = r.dtype->bytes,
               extent = bytes;  // the extent counts zero sizes as one: LibTorch's strides must not overflow
  for (auto d : r.shape) {
    bytes *= d > 0 ? 1 : 0;
    if (__builtin_mul_overflow(extent, std::max<std::int64_t>(d, 1), &extent))
      corrupt(path, fmt::format("the shape of {} is impossible", name));
  }
  if (bytes > 0) bytes = extent;
  if (r.begin > r.end || r.end > data_bytes)
    corrupt(path,
            fmt::format("{} lies outside the file (bytes {} to {} of {})", name, r.begin, r.end, data_bytes));
  if (r.end - r.begin != bytes)
    corrupt(path, fmt::format("{} holds {} bytes, its shape needs {}", name, r.end - r.begin, bytes));
  return r;
}

void parse_metadata(const fs::path& path, const nlohmann::json& entry,
                    std::map<std::string, std::string>& out) {
  if (!entry.is_object()) corrupt(path, "__metadata__ is not a JSON object");
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string()) corrupt(path, fmt::format("metadata \"{}\" is not a string", key));
    out[key] = value.get<std::string>();
  }
}

const Dtype& dtype_of(const std::string& name, const torch::Tensor& t) {
  for (const auto& d : kDtypes)
    if (d.type == t.scalar_type()) return d;
  throw InternalError(fmt::format("{}: this dtype cannot be stored", name));
}

}  // namespace

Safetensors read_safetensors(const fs::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  if (file->size() < 8) corrupt(path, fmt::format("{} bytes are too few", file->size()));
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file->data(), 8);
  if (header_bytes > kMaxHeader || header_bytes > file->size() - 8)
    corrupt(path, fmt::format("a header of {} bytes in a file of {}", header_bytes, file->size()));
  const auto header = parse_header(path, file->view().substr(8, header_bytes));
  const auto data_bytes = static_cast<std::int64_t>(file->size() - 8 - header_bytes);
  const std::uint8_t* data = file->data() + 8 + header_bytes;

  Safetensors out;
  std::vector<Region> regions;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__")
      parse_metadata(path, entry, out.metadata);
    else
      regions.push_back(parse_region(path, name, entry, data_bytes));
  }
  std::sort(regions.begin(), regions.end(), [](const Region& a, const Region& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  std::int64_t at = 0;
  for (const auto& r : regions) {
    if (r.begin != at)
      corrupt(path, fmt::format("{} begins at byte {}, expected {} ({})", r.name, r.begin, at,
                                r.begin > at ? "a hole" : "an overlap"));
    at = r.end;
    out.tensors[r.name] = mapped_tensor(file, data + r.begin, r.shape, {}, r.dtype->type);
  }
  if (at != data_bytes) corrupt(path, fmt::format("{} bytes follow the last tensor", data_bytes - at));
  return out;
}

void write_safetensors(const fs::path& path, const std::map<std::string, torch::Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<std::pair<std::string, torch::Tensor>> ordered;
  for (const auto& [name, t] : tensors) ordered.emplace_back(name, t.detach().to(torch::kCPU).contiguous());
  std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) {
    return a.second.element_size() > b.second.element_size();
  });
  nlohmann::json header = nlohmann::json::object();
  header["__metadata__"] = metadata;
  header["__metadata__"]["format"] = "pt";
  std::uint64_t at = 0;
  for (const auto& [name, t] : ordered) {
    header[name] = {{"dtype", dtype_of(name, t).name},
                    {"shape", t.sizes().vec()},
                    {"data_offsets", {at, at + t.nbytes()}}};
    at += t.nbytes();
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // so that the data are aligned
  const std::uint64_t length = text.size();
  const auto temporary = temporary_name(path);
  std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(&length), 8);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  for (const auto& [name, t] : ordered)
    file.write(static_cast<const char*>(t.data_ptr()), static_cast<std::streamsize>(t.nbytes()));
  file.close();
  if (!file) {
    const std::string reason = std::strerror(errno);
    std::error_code ignored;
    fs::remove(temporary, ignored);
    throw DataError::cannot_write(fmt::format("{}: cannot be written ({})", path.string(), reason));
  }
  publish_replace(temporary, path);
}

}  // namespace expunge::tensor
