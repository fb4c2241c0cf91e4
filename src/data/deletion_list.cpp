#include "data/deletion_list.hpp"

#include <charconv>
#include <map>
#include <mutex>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/hash.hpp"
#include "core/text.hpp"

namespace expunge::data {
namespace {

std::int64_t parse_index(const fs::path& file, std::size_t line, std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    throw DataError::corrupt(
        fmt::format("{}:{}: expected an index, found \"{}\"", file.string(), line, text));
  return value;
}

// "# key: value" of the header; other comments pass.
void read_header_line(DeletionList& list, const fs::path& file, std::size_t line, std::string_view text,
                      std::string& sha256) {
  const auto colon = text.find(": ");
  if (colon == std::string_view::npos) return;
  const std::string key(text.substr(text.find_first_not_of("# "), colon - text.find_first_not_of("# ")));
  const std::string value(text.substr(colon + 2));
  if (key == "dataset") list.dataset = value;
  if (key == "checksum") list.checksum = value;
  if (key == "sha256") sha256 = value;
  if (key == "train_size") list.train_size = parse_index(file, line, value);
  if (key == "first_labels")
    for (const auto& label : split(value, ' ')) list.first_labels.push_back(parse_index(file, line, label));
}

}  // namespace

DeletionList read_deletion_list(const fs::path& file) {
  DeletionList list;
  list.file = file.string();
  std::string sha256, body;
  std::size_t line = 0;
  const std::string text = read_file(file);
  for (const auto& row : split(text, '\n')) {
    ++line;
    if (row.empty()) continue;
    if (row[0] == '#') {
      if (row.find_first_not_of("# ") != std::string::npos) read_header_line(list, file, line, row, sha256);
      continue;
    }
    list.indices.push_back(parse_index(file, line, row));
    body += row + '\n';
  }
  if (list.indices.empty()) throw DataError::corrupt(fmt::format("{}: no indices", file.string()));
  if (list.train_size <= 0)
    throw DataError::corrupt(fmt::format("{}: no \"# train_size: N\" line", file.string()));
  if (const auto found = sha256_hex(body); found != sha256)
    throw DataError::corrupt(fmt::format("{}: damaged: sha256 of the indices is {}, the header says \"{}\"",
                                         file.string(), found, sha256));
  std::vector<bool> seen(static_cast<std::size_t>(list.train_size));
  for (const auto index : list.indices) {
    if (index >= list.train_size)
      throw DataError::corrupt(fmt::format("{}: index {} is out of range of {} training samples",
                                           file.string(), index, list.train_size));
    if (seen[static_cast<std::size_t>(index)])
      throw DataError::corrupt(fmt::format("{}: index {} stands twice", file.string(), index));
    seen[static_cast<std::size_t>(index)] = true;
  }
  return list;
}

const DeletionList& published_list(const std::string& name) {
  static std::mutex mutex;
  static std::map<std::string, DeletionList> lists;
  const std::lock_guard guard(mutex);
  auto at = lists.find(name);
  if (at == lists.end())
    at = lists.emplace(name, read_deletion_list(project_folder() / "deletion_lists" / (name + ".txt"))).first;
  return at->second;
}

void require_published(const DeletionList& list, const Dataset& dataset) {
  const auto refuse = [&](const std::string& why) {
    throw ConfigError(
        fmt::format("data.deletion = \"published\": {} indexes the full, published {}, but {}; use deletion "
                    "= \"drawn\" for subsets and other orders",
                    list.file, list.dataset, why));
  };
  const std::int64_t n = dataset.size(Side::kTrain);
  if (n != list.train_size)
    refuse(fmt::format("this copy has {} training samples instead of {}", n, list.train_size));
  for (std::size_t i = 0; i < list.first_labels.size(); ++i)
    if (const auto found = dataset.label(Side::kTrain, static_cast<std::int64_t>(i));
        found != list.first_labels[i])
      refuse(fmt::format("sample {} of this copy has label {} instead of {}: another order", i, found,
                         list.first_labels[i]));
  if (!list.checksum.empty() && dataset.checksum() != list.checksum)
    refuse(fmt::format("this copy has checksum {} instead of {}", dataset.checksum(), list.checksum));
}

}  // namespace expunge::data
