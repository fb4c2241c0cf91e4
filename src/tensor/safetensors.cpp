#include "tensor/safetensors.hpp"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.hpp"
#include "core/files.hpp"

namespace expunge::tensor {
namespace {

constexpr std::uint64_t kMaxHeader = 100'000'000;

struct Dtype {
  const char* name;
  torch::ScalarType type;
  std::uint64_t bytes;
};
constexpr Dtype kDtypes[] = {{"F64", torch::kDouble, 8}, {"I64", torch::kLong, 8},   {"F32", torch::kFloat, 4},  {"I32", torch::kInt, 4},
                             {"F16", torch::kHalf, 2},   {"BF16", torch::kBFloat16, 2}, {"I16", torch::kShort, 2}, {"I8", torch::kChar, 1},
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
    if (event == nlohmann::json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) duplicate = parsed.get<std::string>();
    return true;
  };
  try {
    auto header = nlohmann::json::parse(text, watch);
    if (!duplicate.empty()) corrupt(path, fmt::format("\"{}\" appears twice", duplicate));
    if (!header.is_object()) corrupt(path, "the header is not a JSON object");
    return header;
  } catch (const nlohmann::json::exception& error) {
    corrupt(path, fmt::format("the header is not JSON ({})", error.what()));
  }
}

struct Region {
  std::string name;
  const Dtype* dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t begin, end;
};

Region parse_region(const fs::path& path, const std::string& name, const nlohmann::json& entry, std::uint64_t data_bytes) {
  try {
    Region r{name, nullptr, entry.at("shape").get<std::vector<std::int64_t>>(), entry.at("data_offsets").at(0).get<std::uint64_t>(),
             entry.at("data_offsets").at(1).get<std::uint64_t>()};
    const auto dtype = entry.at("dtype").get<std::string>();
    for (const auto& d : kDtypes)
      if (dtype == d.name) r.dtype = &d;
    if (!r.dtype) corrupt(path, fmt::format("{} has dtype {}, which is not supported", name, dtype));
    std::uint64_t bytes = r.dtype->bytes;
    for (auto d : r.shape)
      if (d < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(d), &bytes)) corrupt(path, fmt::format("the shape of {} is impossible", name));
    if (r.begin > r.end || r.end > data_bytes) corrupt(path, fmt::format("{} lies outside the file (bytes {} to {} of {})", name, r.begin, r.end, data_bytes));
    if (r.end - r.begin != bytes) corrupt(path, fmt::format("{} holds {} bytes, its shape needs {}", name, r.end - r.begin, bytes));
    return r;
  } catch (const nlohmann::json::exception& error) {
    corrupt(path, fmt::format("the entry of {} is malformed ({})", name, error.what()));
  }
}

const Dtype& dtype_of(const std::string& name, const torch::Tensor& t) {
  for (const auto& d : kDtypes)
    if (d.type == t.scalar_type()) return d;
  throw InternalError(fmt::format("{}: this dtype cannot be stored", name));
}

}  // namespace

Safetensors read_safetensors(const fs::path& path) {
  const MappedFile file(path);
  if (file.size() < 8) corrupt(path, fmt::format("{} bytes are too few", file.size()));
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), 8);
  if (header_bytes > kMaxHeader || header_bytes > file.size() - 8) corrupt(path, fmt::format("a header of {} bytes in a file of {}", header_bytes, file.size()));
  const auto header = parse_header(path, file.view().substr(8, header_bytes));
  const std::uint64_t data_bytes = file.size() - 8 - header_bytes;

  Safetensors out;
  std::vector<Region> regions;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      for (const auto& [key, value] : entry.items())
        if (value.is_string()) out.metadata[key] = value.get<std::string>();
        else corrupt(path, fmt::format("metadata \"{}\" is not a string", key));
      continue;
    }
    regions.push_back(parse_region(path, name, entry, data_bytes));
  }
  std::sort(regions.begin(), regions.end(), [](const Region& a, const Region& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  std::uint64_t at = 0;
  for (const auto& r : regions) {
    if (r.begin != at) corrupt(path, fmt::format("{} begins at byte {}, expected {} ({})", r.name, r.begin, at, r.begin > at ? "a hole" : "an overlap"));
    at = r.end;
    torch::Tensor t = at::empty(r.shape, torch::TensorOptions().dtype(r.dtype->type));
    if (r.end > r.begin) std::memcpy(t.data_ptr(), file.data() + 8 + header_bytes + r.begin, r.end - r.begin);
    out.tensors[r.name] = t;
  }
  if (at != data_bytes) corrupt(path, fmt::format("{} bytes follow the last tensor", data_bytes - at));
  return out;
}

void write_safetensors(const fs::path& path, const std::map<std::string, torch::Tensor>& tensors, const std::map<std::string, std::string>& metadata) {
  std::vector<std::pair<std::string, torch::Tensor>> ordered;
  for (const auto& [name, t] : tensors) ordered.emplace_back(name, t.detach().to(torch::kCPU).contiguous());
  std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) { return a.second.element_size() > b.second.element_size(); });
  nlohmann::json header = nlohmann::json::object();
  header["__metadata__"] = metadata;
  header["__metadata__"]["format"] = "pt";
  std::uint64_t at = 0;
  for (const auto& [name, t] : ordered) {
    header[name] = {{"dtype", dtype_of(name, t).name}, {"shape", t.sizes().vec()}, {"data_offsets", {at, at + t.nbytes()}}};
    at += t.nbytes();
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string content(8, '\0');
  const std::uint64_t length = text.size();
  std::memcpy(content.data(), &length, 8);
  content += text;
  content.reserve(content.size() + at);
  for (const auto& [name, t] : ordered) content.append(static_cast<const char*>(t.data_ptr()), t.nbytes());
  write_file_atomic(path, content);
}

}  // namespace expunge::tensor
