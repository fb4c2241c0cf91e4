#include "data/tokenizers/bpe.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <limits>
#include <queue>
#include <tuple>

#include "core/error.hpp"
#include "data/tokenizers/unicode.hpp"

namespace expunge::data {
namespace {

constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
constexpr std::size_t kShort = 48;  // up to here looking through all pairs beats a queue

std::uint64_t key_of(std::int32_t left, std::int32_t right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}
std::size_t place_of(std::uint64_t key, std::size_t mask) {
  return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15u) >> 29) & mask;
}

std::unordered_map<std::string_view, std::int32_t> index_of(const Vocabulary& vocabulary) {
  std::unordered_map<std::string_view, std::int32_t> out;
  for (std::size_t id = 0; id < vocabulary.size(); ++id)
    if (!vocabulary[id].empty()) out.emplace(vocabulary[id], static_cast<std::int32_t>(id));
  return out;
}

std::int32_t find_or(const std::unordered_map<std::string_view, std::int32_t>& index,
                     const std::string& text) {
  const auto found = index.find(text);
  return found == index.end() ? -1 : found->second;
}

}  // namespace

const std::array<std::string, 256>& byte_alphabet() {
  static const auto alphabet = [] {
    std::array<std::string, 256> out;
    std::uint32_t next = 256;
    for (std::uint32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      unicode::append(out[b], printable ? b : next++);
    }
    return out;
  }();
  return alphabet;
}

bool bytes_of_alphabet(std::string_view text, std::string& bytes) {
  static const auto byte_of = [] {
    std::array<std::int16_t, 512> out;
    out.fill(-1);
    for (std::size_t b = 0; b < 256; ++b) {
      std::size_t at = 0;
      out[unicode::next(byte_alphabet()[b], at)] = static_cast<std::int16_t>(b);
    }
    return out;
  }();
  bytes.clear();
  for (std::size_t at = 0; at < text.size();) {
    const std::uint32_t c = unicode::next(text, at);
    if (c >= byte_of.size() || byte_of[c] < 0) return false;
    bytes += static_cast<char>(byte_of[c]);
  }
  return true;
}

Bpe::Bpe(const Vocabulary& vocabulary, const std::vector<Merge>& merges, const BpeOptions& options)
    : options_(options) {
  const std::size_t size = std::bit_ceil(std::max<std::size_t>(16, 2 * merges.size()));
  keys_.assign(size, kEmpty);
  joined_.resize(size);
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::uint64_t key = key_of(merges[rank].left, merges[rank].right);
    std::size_t at = place_of(key, size - 1);
    while (keys_[at] != kEmpty && keys_[at] != key) at = (at + 1) & (size - 1);
    if (keys_[at] == key) continue;
    keys_[at] = key;
    joined_[at] = {static_cast<std::uint32_t>(rank), merges[rank].into};
  }
  const auto index = index_of(vocabulary);
  char hexadecimal[8];
  for (std::size_t b = 0; b < 256; ++b) {
    std::snprintf(hexadecimal, sizeof hexadecimal, "<0x%02X>", static_cast<unsigned>(b));
    byte_[b] = find_or(index, options.bytes ? byte_alphabet()[b] : hexadecimal);
    last_byte_[b] = find_or(index, byte_alphabet()[b] + options.word_end);
  }
  if (!options.bytes) {
    std::vector<std::pair<std::string, std::int32_t>> pieces;
    for (const auto& [text, id] : index) pieces.emplace_back(text, id);
    characters_ = ByteTrie(std::move(pieces));
  }
  if (options.bytes) find_whole_words(vocabulary);
}

// Most words of a text are pieces. That is only a short cut where the merges lead there.
void Bpe::find_whole_words(const Vocabulary& vocabulary) {
  std::vector<std::pair<std::string, std::int32_t>> words;
  std::string bytes;
  std::vector<std::int32_t> pieces;
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    std::string_view text = vocabulary[id];
    if (text.empty() || !text.ends_with(options_.word_end)) continue;
    text.remove_suffix(options_.word_end.size());
    if (text.empty() || !bytes_of_alphabet(text, bytes)) continue;
    pieces.clear();
    symbols_of(bytes, pieces);
    join(pieces);
    const auto piece = static_cast<std::int32_t>(id);
    if (options_.whole_words || (pieces.size() == 1 && pieces[0] == piece)) words.emplace_back(bytes, piece);
  }
  whole_ = ByteTrie(std::move(words));
}

const Bpe::Joined* Bpe::merge_of(std::int32_t left, std::int32_t right) const {
  const std::uint64_t key = key_of(left, right);
  const std::size_t mask = keys_.size() - 1;
  for (std::size_t at = place_of(key, mask); keys_[at] != kEmpty; at = (at + 1) & mask)
    if (keys_[at] == key) return &joined_[at];
  return nullptr;
}

void Bpe::add_character(std::string_view character, bool last, std::vector<std::int32_t>& out) const {
  const std::int32_t id = last && !options_.word_end.empty()
                              ? characters_.find(std::string(character) + options_.word_end)
                              : characters_.find(character);
  if (id >= 0) return out.push_back(id);
  const auto byte = [&](char c) { return byte_[static_cast<unsigned char>(c)]; };
  if (options_.byte_fallback &&
      std::all_of(character.begin(), character.end(), [&](char c) { return byte(c) >= 0; })) {
    for (const char c : character) out.push_back(byte(c));
    return;
  }
  if (options_.unknown >= 0 && !(options_.fuse_unknown && !out.empty() && out.back() == options_.unknown))
    out.push_back(options_.unknown);
}

void Bpe::symbols_of(std::string_view word, std::vector<std::int32_t>& out) const {
  if (!options_.bytes) {
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t length = unicode::length_of(word[at]);
      add_character(word.substr(at, length), at + length == word.size(), out);
      at += length;
    }
    return;
  }
  for (std::size_t i = 0; i < word.size(); ++i) {
    const auto byte = static_cast<unsigned char>(word[i]);
    const std::int32_t id = i + 1 == word.size() ? last_byte_[byte] : byte_[byte];
    if (id >= 0)
      out.push_back(id);
    else if (options_.unknown >= 0)
      out.push_back(options_.unknown);
  }
}

void Bpe::cut(std::string_view word, std::vector<std::int32_t>& out) const {
  if (const std::int32_t id = whole_.find(word); id >= 0) return out.push_back(id);
  thread_local std::vector<std::int32_t> symbols;
  symbols.clear();
  symbols_of(word, symbols);
  if (symbols.size() <= kShort)
    join(symbols);
  else
    join_long(symbols);
  out.insert(out.end(), symbols.begin(), symbols.end());
}

void Bpe::join(std::vector<std::int32_t>& symbols) const {
  if (symbols.size() > kShort) return join_long(symbols);
  constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
  std::array<Joined, kShort> pairs{};  // pair i: symbols i and i + 1
  const auto look = [&](std::size_t i) {
    const Joined* found = merge_of(symbols[i], symbols[i + 1]);
    pairs[i] = found ? *found : Joined{kNone, -1};
  };
  std::size_t n = symbols.size();
  for (std::size_t i = 0; i + 1 < n; ++i) look(i);
  while (n > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < n; ++i)
      if (pairs[i].rank < pairs[best].rank) best = i;
    if (pairs[best].rank == kNone) break;
    symbols[best] = pairs[best].into;
    for (std::size_t i = best + 1; i + 1 < n; ++i) {
      symbols[i] = symbols[i + 1];
      pairs[i] = pairs[std::min(i + 1, kShort - 1)];
    }
    --n;
    if (best > 0) look(best - 1);
    if (best + 1 < n) look(best);
  }
  symbols.resize(n);
}

// The same with a queue of pairs over a linked list; stale entries are passed over.
void Bpe::join_long(std::vector<std::int32_t>& symbols) const {
  struct Pair {
    std::uint32_t rank;
    std::int32_t at, left, right, into;
    bool operator<(const Pair& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
  };
  const auto n = static_cast<std::int32_t>(symbols.size());
  std::vector<std::int32_t> before(symbols.size()), behind(symbols.size());
  for (std::int32_t i = 0; i < n; ++i) {
    before[static_cast<std::size_t>(i)] = i - 1;
    behind[static_cast<std::size_t>(i)] = i + 1 < n ? i + 1 : -1;
  }
  const auto symbol = [&](std::int32_t i) -> std::int32_t& { return symbols[static_cast<std::size_t>(i)]; };
  const auto next = [&](std::int32_t i) -> std::int32_t& { return behind[static_cast<std::size_t>(i)]; };
  std::priority_queue<Pair> queue;
  const auto look = [&](std::int32_t i) {
    if (i < 0 || next(i) < 0) return;
    if (const Joined* found = merge_of(symbol(i), symbol(next(i))))
      queue.push({found->rank, i, symbol(i), symbol(next(i)), found->into});
  };
  for (std::int32_t i = 0; i + 1 < n; ++i) look(i);
  while (!queue.empty()) {
    const Pair pair = queue.top();
    queue.pop();
    const std::int32_t right = symbol(pair.at) == pair.left ? next(pair.at) : -1;
    if (right < 0 || symbol(right) != pair.right) continue;
    symbol(pair.at) = pair.into;
    symbol(right) = -1;
    next(pair.at) = next(right);
    if (next(right) >= 0) before[static_cast<std::size_t>(next(right))] = pair.at;
    look(before[static_cast<std::size_t>(pair.at)]);
    look(pair.at);
  }
  std::erase(symbols, -1);
}

std::vector<Bpe::Merge> merges_of_ranks(const Vocabulary& vocabulary, const std::vector<double>& ranks) {
  const auto index = index_of(vocabulary);
  struct Ranked {
    double rank;
    std::size_t left_length;
    Bpe::Merge merge;
  };
  std::vector<Ranked> found;
  for (const auto& [text, id] : index)
    for (std::size_t at = unicode::length_of(text[0]); at < text.size(); at += unicode::length_of(text[at])) {
      const auto left = index.find(text.substr(0, at)), right = index.find(text.substr(at));
      if (left != index.end() && right != index.end())
        found.push_back({ranks[static_cast<std::size_t>(id)], at, {left->second, right->second, id}});
    }
  std::sort(found.begin(), found.end(), [](const Ranked& a, const Ranked& b) {
    return std::tie(a.rank, a.merge.into, a.left_length) < std::tie(b.rank, b.merge.into, b.left_length);
  });
  std::vector<Bpe::Merge> out;
  for (const auto& entry : found) out.push_back(entry.merge);
  return out;
}

}  // namespace expunge::data
