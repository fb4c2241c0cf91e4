// PyTorch's two containers written by hand: pickles by their opcodes, ZIP archives by their records.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace expunge::test {

inline std::string little(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
  return out;
}

inline std::string text_of(const std::string& text) { return "X" + little(text.size(), 4) + text; }
inline std::string number_of(std::int32_t value) {
  return "J" + little(static_cast<std::uint32_t>(value), 4);
}

// ('storage', torch.FloatStorage, KEY, 'cpu', ELEMENTS[, None]) as a persistent id.
inline std::string storage_of(const std::string& key, std::int32_t elements, bool older) {
  return "(" + text_of("storage") + "ctorch\nFloatStorage\n" + text_of(key) + text_of("cpu") +
         number_of(elements) + (older ? "N" : "") + "tQ";
}
// torch._utils._rebuild_tensor_v2(storage, offset, sizes, strides, False, OrderedDict()).
inline std::string tensor_of(const std::string& storage, std::int32_t offset,
                             const std::vector<std::int32_t>& sizes,
                             const std::vector<std::int32_t>& strides) {
  std::string out = "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number_of(offset) + "(";
  for (const auto size : sizes) out += number_of(size);
  out += "t(";
  for (const auto stride : strides) out += number_of(stride);
  return out +
         "t\x89"
         "ccollections\nOrderedDict\n)RtR";
}

// {"w": one-dimensional tensor over storage "0"}.
inline std::string one_tensor(std::int32_t elements, std::int32_t offset, std::int32_t size,
                              std::int32_t stride) {
  return "\x80\x02}" + text_of("w") + tensor_of(storage_of("0", elements, false), offset, {size}, {stride}) +
         "s.";
}

// A ZIP archive of stored entries: FOLDER/data.pkl and FOLDER/data/KEY.
inline std::string zip_container(const std::string& pickle,
                                 const std::vector<std::pair<std::string, std::string>>& storages) {
  std::vector<std::pair<std::string, std::string>> entries{{"archive/data.pkl", pickle}};
  for (const auto& [key, bytes] : storages) entries.emplace_back("archive/data/" + key, bytes);
  std::string out, directory;
  for (const auto& [name, bytes] : entries) {
    const std::string sizes = little(0, 4) + little(bytes.size(), 4) + little(bytes.size(), 4) +
                              little(name.size(), 2) + little(0, 2);
    directory += "PK\x01\x02" + little(20, 2) + little(20, 2) + little(0, 2) + little(0, 2) + little(0, 4) +
                 sizes + little(0, 2) + little(0, 2) + little(0, 2) + little(0, 4) + little(out.size(), 4) +
                 name;
    out += "PK\x03\x04" + little(20, 2) + little(0, 2) + little(0, 2) + little(0, 4) + sizes + name + bytes;
  }
  return out + directory + "PK\x05\x06" + little(0, 4) + little(entries.size(), 2) +
         little(entries.size(), 2) + little(directory.size(), 4) + little(out.size(), 4) + little(0, 2);
}

// OrderedDict(a = [1, 2], b = [[3], [4]]) in the container of before PyTorch 1.6.
inline std::string older_container() {
  const auto floats = [](std::uint32_t first, std::uint32_t second) {
    return little(2, 8) + little(first, 4) + little(second, 4);
  };
  const std::string object = std::string("\x80\x02") + "ccollections\nOrderedDict\n)R(" + text_of("a") +
                             tensor_of(storage_of("11", 2, true), 0, {2}, {1}) + text_of("b") +
                             tensor_of(storage_of("12", 2, true), 0, {2, 1}, {1, 1}) + "u.";
  return std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15) +
         "\x80\x02M\xe9\x03." + "\x80\x02}." + object + "\x80\x02](" + text_of("11") + text_of("12") + "e." +
         floats(0x3F800000u, 0x40000000u) + floats(0x40400000u, 0x40800000u);
}

}  // namespace expunge::test
