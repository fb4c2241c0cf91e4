#include "tensor/checkpoint.hpp"

#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.hpp"
#include "core/files.hpp"
#include "tensor/mapped_tensor.hpp"
#include "tensor/pickle.hpp"
#include "tensor/safetensors.hpp"
#include "tensor/zip_file.hpp"

namespace expunge::tensor {
namespace {

using Shared = std::shared_ptr<const MappedFile>;
using Tensors = std::map<std::string, torch::Tensor>;

// The pickles of the older container: magic number, protocol 1001, system, the object, storage keys.
constexpr std::string_view kOlderMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15);

[[noreturn]] void corrupt(const fs::path& path, const std::string& what) {
  throw DataError::corrupt(fmt::format("{}: {}", path.string(), what));
}

torch::ScalarType type_of(const fs::path& path, const StorageRecord& storage) {
  static const std::map<std::string, torch::ScalarType> types{
      {"FloatStorage", torch::kFloat},   {"HalfStorage", torch::kHalf}, {"BFloat16Storage", torch::kBFloat16},
      {"DoubleStorage", torch::kDouble}, {"LongStorage", torch::kLong}, {"IntStorage", torch::kInt},
      {"ShortStorage", torch::kShort},   {"CharStorage", torch::kChar}, {"ByteStorage", torch::kByte},
      {"BoolStorage", torch::kBool}};
  const auto found = types.find(storage.type);
  if (found == types.end())
    corrupt(path, fmt::format("storage {} has the unknown type {}", storage.key, storage.type));
  return found->second;
}

std::int64_t bytes_of(const fs::path& path, const StorageRecord& storage) {
  std::int64_t out = 0;
  if (__builtin_mul_overflow(storage.elements,
                             static_cast<std::int64_t>(c10::elementSize(type_of(path, storage))), &out))
    corrupt(path, fmt::format("storage {} of {} elements is impossible", storage.key, storage.elements));
  return out;
}

// Tensors over storages, whose bytes are known by key.
Tensors make_tensors(const fs::path& path, const Shared& file, const StateDict& dict,
                     const std::map<std::string, std::string_view>& storages) {
  Tensors out;
  for (const auto& [name, record] : dict.tensors) {
    const auto found = storages.find(record.storage.key);
    if (found == storages.end())
      corrupt(path, fmt::format("{}: its storage {} is missing", name, record.storage.key));
    if (static_cast<std::int64_t>(found->second.size()) < bytes_of(path, record.storage))
      corrupt(path, fmt::format("{}: its storage {} holds {} bytes, expected {}", name, record.storage.key,
                                found->second.size(), bytes_of(path, record.storage)));
    const auto type = type_of(path, record.storage);
    const auto* data = reinterpret_cast<const std::uint8_t*>(found->second.data());
    out[name] = mapped_tensor(file, data + record.offset * static_cast<std::int64_t>(c10::elementSize(type)),
                              record.shape, record.stride, type);
  }
  return out;
}

Tensors read_zip_container(const fs::path& path, const Shared& file) {
  const auto entries = read_zip(file->view(), path.string());
  constexpr std::string_view kObject = "/data.pkl";
  std::string root;
  for (const auto& [name, bytes] : entries)
    if (name.ends_with(kObject) && name.find('/') == name.size() - kObject.size())
      root = name.substr(0, name.size() - kObject.size());
  if (root.empty()) corrupt(path, "a ZIP archive without FOLDER/data.pkl: not a PyTorch checkpoint");
  if (const auto order = entries.find(root + "/byteorder");
      order != entries.end() && order->second != "little")
    corrupt(path, "numbers are stored with the highest byte first, which is not supported");
  const auto dict = read_state_dict(entries.at(root + std::string(kObject)), path.string());
  std::map<std::string, std::string_view> storages;
  for (const auto& [key, storage] : dict.storages)
    if (const auto found = entries.find(root + "/data/" + key); found != entries.end())
      storages[key] = found->second;
  return make_tensors(path, file, dict, storages);
}

Tensors read_older_container(const fs::path& path, const Shared& file) {
  std::string_view rest = file->view();
  const std::string place = path.string();
  for (int i = 0; i < 3; ++i) rest.remove_prefix(skip_pickle(rest, place));
  const auto dict = read_state_dict(rest, place);
  rest.remove_prefix(dict.end);
  std::size_t end = 0;
  const auto keys = read_text_list(rest, place, end);
  rest.remove_prefix(end);
  std::map<std::string, std::string_view> storages;
  for (const auto& key : keys) {
    const auto found = dict.storages.find(key);
    if (found == dict.storages.end()) corrupt(path, fmt::format("storage {} belongs to no tensor", key));
    std::int64_t elements = -1;
    if (rest.size() >= 8) std::memcpy(&elements, rest.data(), 8);
    const std::int64_t bytes = bytes_of(path, found->second);
    if (elements != found->second.elements || static_cast<std::uint64_t>(bytes) > rest.size() - 8)
      corrupt(path, fmt::format("storage {} is cut short", key));
    storages[key] = rest.substr(8, static_cast<std::size_t>(bytes));
    rest.remove_prefix(8 + static_cast<std::size_t>(bytes));
  }
  return make_tensors(path, file, dict, storages);
}

Tensors read_one(const fs::path& path) {
  {
    const auto file = std::make_shared<const MappedFile>(path);
    const auto bytes = file->view();
    if (bytes.starts_with("PK\x03\x04")) return read_zip_container(path, file);
    if (bytes.starts_with(kOlderMagic)) return read_older_container(path, file);
    // A safetensors file may begin with this byte, too: the lowest of its header's length, before the
    // header's {.
    const bool pickle = bytes.starts_with('\x80') && (bytes.size() < 9 || bytes[8] != '{');
    if (pickle) corrupt(path, "a pickle that torch.save did not write: refused");
  }
  return read_safetensors(path).tensors;
}

Checkpoint read_shards(const fs::path& index) {
  Checkpoint out;
  nlohmann::json text;
  try {
    text = nlohmann::json::parse(read_file(index));
  } catch (const nlohmann::json::exception& error) {
    corrupt(index, fmt::format("not JSON ({})", error.what()));
  }
  const auto map = text.is_object() ? text.find("weight_map") : text.end();
  if (!text.is_object() || map == text.end() || !map->is_object()) corrupt(index, "no weight_map");
  std::map<std::string, std::set<std::string>> names;  // by file
  for (const auto& [name, file] : map->items()) {
    if (!file.is_string()) corrupt(index, fmt::format("the file of {} is {}", name, file.dump()));
    const auto shard = file.get<std::string>();
    if (shard.empty() || fs::path(shard).filename() != shard || shard == "..")
      corrupt(index, fmt::format("{}: \"{}\" is no file of this folder", name, shard));
    names[shard].insert(name);
  }
  for (const auto& [shard, wanted] : names) {
    const auto path = index.parent_path() / shard;
    out.files.push_back(path);
    auto tensors = read_one(path);
    for (const auto& name : wanted) {
      const auto found = tensors.find(name);
      if (found == tensors.end())
        corrupt(path, fmt::format("{} is missing, which {} promises", name, index.filename().string()));
      out.tensors.insert(*found);
    }
  }
  return out;
}

}  // namespace

Checkpoint read_checkpoint(const fs::path& path) {
  if (!fs::is_directory(path)) return {read_one(path), {path}};
  for (const char* name : {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                           "pytorch_model.bin.index.json"})
    if (const auto file = path / name; fs::exists(file))
      return file.extension() == ".json" ? read_shards(file) : Checkpoint{read_one(file), {file}};
  throw DataError::missing(
      fmt::format("{}: no model.safetensors or pytorch_model.bin, whole or in shards with their index.json",
                  path.string()));
}

}  // namespace expunge::tensor
