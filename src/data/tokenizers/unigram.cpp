#include "data/tokenizers/unigram.hpp"

#include <algorithm>
#include <cstdio>

#include "data/tokenizers/unicode.hpp"

namespace expunge::data {
namespace {

constexpr double kUnknownPenalty = 10;

// The best cut of the bytes up to here: its score, where its last piece begins (-1: none yet) and which it
// is.
struct Best {
  double score = 0;
  std::int32_t begin = -1, piece = -1;
};

}  // namespace

Unigram::Unigram(const Vocabulary& vocabulary, std::vector<double> scores, std::int32_t unknown,
                 bool byte_fallback)
    : scores_(std::move(scores)), unknown_(unknown) {
  std::vector<std::pair<std::string, std::int32_t>> pieces;
  for (std::size_t id = 0; id < vocabulary.size(); ++id)
    if (!vocabulary[id].empty()) pieces.emplace_back(vocabulary[id], static_cast<std::int32_t>(id));
  pieces_ = ByteTrie(std::move(pieces));
  if (!scores_.empty()) unknown_score_ = *std::min_element(scores_.begin(), scores_.end()) - kUnknownPenalty;
  if (!byte_fallback) return;
  char name[8];
  for (unsigned b = 0; b < 256; ++b) {
    std::snprintf(name, sizeof name, "<0x%02X>", b);
    byte_.push_back(pieces_.find(name));
  }
  if (std::count(byte_.begin(), byte_.end(), -1) > 0) byte_.clear();
}

void Unigram::add_unknown(std::string_view text, std::vector<std::int32_t>& out) const {
  if (byte_.empty()) {
    if (unknown_ >= 0) out.push_back(unknown_);
    return;
  }
  for (const char c : text) out.push_back(byte_[static_cast<unsigned char>(c)]);
}

void Unigram::cut(std::string_view word, std::vector<std::int32_t>& out) const {
  thread_local std::vector<Best> best;
  best.assign(word.size() + 1, Best{});
  const auto offer = [&](std::size_t begin, std::size_t end, double score, std::int32_t piece) {
    Best& target = best[end];
    if (target.begin < 0 || score > target.score) target = {score, static_cast<std::int32_t>(begin), piece};
  };
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t length = unicode::length_of(word[at]);
    const double so_far = best[at].score;
    bool single = false;
    std::int32_t node = 0;
    for (std::size_t end = at; end < word.size();) {
      node = pieces_.step(node, word[end++]);
      if (node < 0) break;
      const std::int32_t piece = pieces_.value(node);
      if (piece < 0) continue;
      offer(at, end, so_far + scores_[static_cast<std::size_t>(piece)], piece);
      single |= end == at + length;
    }
    if (!single) offer(at, at + length, so_far + unknown_score_, -1);
    at += length;
  }
  thread_local std::vector<std::pair<std::int32_t, std::int32_t>> path;  // begin, piece; from the end
  path.clear();
  for (auto at = static_cast<std::int32_t>(word.size()); at > 0;
       at = best[static_cast<std::size_t>(at)].begin)
    path.emplace_back(best[static_cast<std::size_t>(at)].begin, best[static_cast<std::size_t>(at)].piece);
  std::reverse(path.begin(), path.end());
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i].second >= 0 && path[i].second != unknown_) {
      out.push_back(path[i].second);
      continue;
    }
    std::size_t last = i;
    while (last + 1 < path.size() && (path[last + 1].second < 0 || path[last + 1].second == unknown_)) ++last;
    const auto begin = static_cast<std::size_t>(path[i].first);
    const auto end = last + 1 < path.size() ? static_cast<std::size_t>(path[last + 1].first) : word.size();
    add_unknown(word.substr(begin, end - begin), out);
    i = last;
  }
}

}  // namespace expunge::data
