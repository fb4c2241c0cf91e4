#include "data/tokenizers/vocabulary_file.hpp"

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"
#include "data/tokenizers/unicode.hpp"

namespace expunge::data {
namespace {

std::vector<std::string> lines_of(const fs::path& file) {
  auto lines = split(read_file(file), '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  for (auto& line : lines)
    if (!line.empty() && line.back() == '\r') line.pop_back();
  return lines;
}

}  // namespace

void mend(std::string& text) {
  std::string storage;
  if (const auto sound = unicode::well_formed(text, storage); sound.data() != text.data())
    text = std::string(sound);
}

nlohmann::json read_json(const fs::path& file) {
  try {
    return nlohmann::json::parse(read_file(file));
  } catch (const nlohmann::json::exception& error) {
    throw DataError::corrupt(fmt::format("{}: not JSON ({})", file.string(), error.what()));
  }
}

Vocabulary read_vocabulary_lines(const fs::path& file) {
  auto out = lines_of(file);
  if (out.empty()) throw DataError::corrupt(fmt::format("{}: an empty vocabulary", file.string()));
  for (auto& piece : out) mend(piece);
  return out;
}

Vocabulary vocabulary_of(const nlohmann::json& object, const std::string& place) {
  if (!object.is_object() || object.empty())
    throw DataError::corrupt(fmt::format("{}: expected an object of pieces and their ids", place));
  Vocabulary out;
  for (const auto& [piece, id] : object.items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > static_cast<std::uint64_t>(kLargestId))
      throw DataError::corrupt(fmt::format("{}: the id of \"{}\" is {}", place, piece, id.dump()));
    const auto at = id.get<std::size_t>();
    if (out.size() <= at) out.resize(at + 1);
    out[at] = piece;
  }
  return out;
}

std::unordered_map<std::string_view, std::int32_t> ids_of(const Vocabulary& vocabulary) {
  std::unordered_map<std::string_view, std::int32_t> out;
  out.reserve(vocabulary.size());
  for (std::size_t id = 0; id < vocabulary.size(); ++id)
    if (!vocabulary[id].empty()) out.emplace(vocabulary[id], static_cast<std::int32_t>(id));
  return out;
}

std::int32_t MergeReader::id_of(const std::string& piece) const {
  const auto found = ids_.find(piece);
  if (found == ids_.end())
    throw DataError::corrupt(
        fmt::format("{}: merge {}: \"{}\" is not in the vocabulary", place_, merges.size() + 1, piece));
  return found->second;
}

void MergeReader::add(std::string_view left, std::string_view right) {
  const std::string a(left), b(right);
  merges.push_back({id_of(a), id_of(b), id_of(a + b)});
}

void MergeReader::add_line(std::string_view line) {
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || space + 1 == line.size() ||
      line.find(' ', space + 1) != std::string_view::npos)
    throw DataError::corrupt(
        fmt::format("{}: merge {}: expected two pieces, found \"{}\"", place_, merges.size() + 1, line));
  add(line.substr(0, space), line.substr(space + 1));
}

std::vector<Bpe::Merge> read_merges(const fs::path& file, const Vocabulary& vocabulary) {
  MergeReader reader(vocabulary, file.string());
  for (const auto& line : lines_of(file))
    if (!line.empty() && !line.starts_with("#version")) reader.add_line(line);
  return std::move(reader.merges);
}

}  // namespace expunge::data
