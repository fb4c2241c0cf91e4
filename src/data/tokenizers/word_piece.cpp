#include "data/tokenizers/word_piece.hpp"

namespace expunge::data {
namespace {

std::size_t characters(std::string_view word) {
  std::size_t count = 0;
  for (const char c : word) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

}  // namespace

WordPiece::WordPiece(const Vocabulary& vocabulary, std::int32_t unknown, const std::string& prefix,
                     std::size_t most)
    : unknown_(unknown), most_(most) {
  std::vector<std::pair<std::string, std::int32_t>> begin, go_on;
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    const std::string& piece = vocabulary[id];
    begin.emplace_back(piece, static_cast<std::int32_t>(id));  // a literal "##x" begins a word, too
    if (piece.starts_with(prefix))
      go_on.emplace_back(piece.substr(prefix.size()), static_cast<std::int32_t>(id));
  }
  begin_ = ByteTrie(std::move(begin));
  go_on_ = ByteTrie(std::move(go_on));
}

void WordPiece::cut(std::string_view word, std::vector<std::int32_t>& out) const {
  const std::size_t before = out.size();
  bool sound = word.size() <= most_ || characters(word) <= most_;
  for (std::size_t at = 0; sound && at < word.size();) {
    std::int32_t id = -1;
    const std::size_t length = (at == 0 ? begin_ : go_on_).longest(word.substr(at), id);
    sound = length > 0;
    if (sound) out.push_back(id);
    at += length;
  }
  if (sound) return;
  out.resize(before);
  out.push_back(unknown_);
}

}  // namespace expunge::data
