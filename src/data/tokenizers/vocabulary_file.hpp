// Vocabularies and merges as files.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "data/tokenizers/bpe.hpp"

namespace expunge::data {

// Ids above this are taken for damage: the largest published vocabulary has 256,000 entries.
constexpr std::int64_t kLargestId = 1 << 21;

void mend(std::string& text);  // makes it well-formed UTF-8

nlohmann::json read_json(const std::filesystem::path& file);  // DataError 65 when it is not JSON

// A piece a line, in order of ids; LF or CR LF.
Vocabulary read_vocabulary_lines(const std::filesystem::path& file);
// {"piece": id, ...}; `place` names it in messages.
Vocabulary vocabulary_of(const nlohmann::json& object, const std::string& place);

std::unordered_map<std::string_view, std::int32_t> ids_of(const Vocabulary& vocabulary);

// Merges as pairs of pieces. DataError 65 where a piece, or what the two make, is not in the vocabulary.
class MergeReader {
 public:
  MergeReader(const Vocabulary& vocabulary, std::string place)
      : ids_(ids_of(vocabulary)), place_(std::move(place)) {}
  void add(std::string_view left, std::string_view right);
  void add_line(std::string_view line);  // "left right"
  std::vector<Bpe::Merge> merges;

 private:
  std::int32_t id_of(const std::string& piece) const;
  std::unordered_map<std::string_view, std::int32_t> ids_;
  std::string place_;
};

// merges.txt: an optional first line that begins with #version, then "left right".
std::vector<Bpe::Merge> read_merges(const std::filesystem::path& file, const Vocabulary& vocabulary);

}  // namespace expunge::data
