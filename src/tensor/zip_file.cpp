#include "tensor/zip_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "core/error.hpp"

namespace expunge::tensor {
namespace {

// Layouts of PKWARE's APPNOTE 6.3: end of central directory (4.3.16), its Zip64 form (4.3.14, .15), entries
// of the central directory (4.3.12), local headers (4.3.7).
constexpr std::uint32_t kEnd = 0x06054b50, kEnd64 = 0x06064b50, kLocator64 = 0x07064b50,
                        kCentral = 0x02014b50, kLocal = 0x04034b50;
constexpr std::size_t kEndBytes = 22, kLocatorBytes = 20, kEnd64Bytes = 56, kCentralBytes = 46,
                      kLocalBytes = 30;

struct Archive {
  std::string_view bytes;
  const std::string& place;

  [[noreturn]] void fail(const std::string& what) const {
    throw DataError::corrupt(fmt::format("{}: not a sound ZIP archive: {}", place, what));
  }
  std::string_view take(std::uint64_t at, std::uint64_t count) const {
    if (at > bytes.size() || count > bytes.size() - at) fail("cut short");
    return bytes.substr(at, count);
  }
  std::uint64_t number(std::uint64_t at, int count) const {
    const auto text = take(at, static_cast<std::uint64_t>(count));
    std::uint64_t out = 0;
    for (int i = count; i-- > 0;)
      out = out << 8 | static_cast<unsigned char>(text[static_cast<std::size_t>(i)]);
    return out;
  }
};

struct Entry {
  std::uint64_t size = 0, stored = 0, header = 0;
};

// Sizes that do not fit 32 bits are in the extra field 0x0001, in this order, only those that are needed.
void read_extra(const Archive& zip, std::uint64_t at, std::uint64_t count, Entry& entry) {
  for (const std::uint64_t end = at + count; at + 4 <= end;) {
    const auto id = zip.number(at, 2), length = zip.number(at + 2, 2);
    at += 4;
    if (id == 1) {
      std::uint64_t from = at;
      for (auto* value : {&entry.size, &entry.stored, &entry.header})
        if (*value == 0xFFFFFFFFu) {
          if (from + 8 > at + length) zip.fail("a Zip64 field is too short");
          *value = zip.number(from, 8);
          from += 8;
        }
    }
    at += length;
  }
}

std::string_view data_of(const Archive& zip, const std::string& name, const Entry& entry) {
  if (zip.number(entry.header, 4) != kLocal) zip.fail(fmt::format("{} has no local header", name));
  const std::uint64_t begin =
      entry.header + kLocalBytes + zip.number(entry.header + 26, 2) + zip.number(entry.header + 28, 2);
  return zip.take(begin, entry.size);
}

}  // namespace

std::map<std::string, std::string_view> read_zip(std::string_view archive, const std::string& place) {
  const Archive zip{archive, place};
  if (archive.size() < kEndBytes) zip.fail("too short");
  // The end record is followed by a comment of at most 65,535 bytes.
  const std::size_t lowest = archive.size() - std::min<std::size_t>(archive.size(), kEndBytes + 65535);
  std::size_t end = archive.size() - kEndBytes;
  while (end > lowest && zip.number(end, 4) != kEnd) --end;
  if (zip.number(end, 4) != kEnd) zip.fail("its end is missing");
  std::uint64_t count = zip.number(end + 10, 2), at = zip.number(end + 16, 4);
  if (end >= kLocatorBytes && zip.number(end - kLocatorBytes, 4) == kLocator64) {
    const std::uint64_t end64 = zip.number(end - kLocatorBytes + 8, 8);
    zip.take(end64, kEnd64Bytes);
    if (zip.number(end64, 4) != kEnd64) zip.fail("its Zip64 end is missing");
    count = zip.number(end64 + 32, 8);
    at = zip.number(end64 + 48, 8);
  }
  std::map<std::string, std::string_view> out;
  for (std::uint64_t i = 0; i < count; ++i) {
    zip.take(at, kCentralBytes);
    if (zip.number(at, 4) != kCentral) zip.fail("its directory is damaged");
    const auto name_bytes = zip.number(at + 28, 2), extra_bytes = zip.number(at + 30, 2),
               comment_bytes = zip.number(at + 32, 2);
    const std::string name(zip.take(at + kCentralBytes, name_bytes));
    Entry entry{zip.number(at + 24, 4), zip.number(at + 20, 4), zip.number(at + 42, 4)};
    zip.take(at + kCentralBytes + name_bytes, extra_bytes);
    read_extra(zip, at + kCentralBytes + name_bytes, extra_bytes, entry);
    if (zip.number(at + 10, 2) != 0 || (zip.number(at + 8, 2) & 1) || entry.size != entry.stored)
      zip.fail(fmt::format("{} is compressed or encrypted", name));
    if (!out.emplace(name, data_of(zip, name, entry)).second) zip.fail(fmt::format("{} appears twice", name));
    at += kCentralBytes + name_bytes + extra_bytes + comment_bytes;
  }
  return out;
}

}  // namespace expunge::tensor
