#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "board/format.hpp"
#include "board/html_parts.hpp"

namespace expunge::board {
namespace {

using nlohmann::json;
using Leaves = std::vector<std::pair<std::string, std::string>>;  // path, value as text

// Up to so many cells the page holds whole hashes and every cell's values.
constexpr std::size_t kCellsInFull = 3000;
constexpr std::size_t kShortHash = 12;

// What stands in the cell's own fields, or follows from them.
bool is_own_field(const std::string& path) {
  static const std::vector<std::string> kOwn = {
      "settings.dataset",     "settings.model", "settings.method", "settings.ratio", "settings.seed",
      "settings.original_id", "ratio",          "row_names",       "metrics"};
  return std::find(kOwn.begin(), kOwn.end(), path) != kOwn.end();
}

void collect(const json& value, const std::string& path, Leaves& out) {
  if (is_own_field(path)) return;
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, child] : value.items()) collect(child, path.empty() ? key : path + "." + key, out);
    return;
  }
  constexpr std::string_view kPrefix = "settings.";
  out.emplace_back(path.rfind(kPrefix, 0) == 0 ? path.substr(kPrefix.size()) : path,
                   value.is_string() ? value.get<std::string>() : value.dump());
}

// Settings of all cells: the value most cells have of each key, and each cell's differences from it. Every
// (key, value) is kept once and known by its number.
class Settings {
 public:
  // `with_cells`: the cells' differences, too.
  Settings(const Board& board, bool with_cells) {
    std::vector<std::size_t> votes;
    for (const auto& row : board.rows) {
      if (row.config_json.empty()) continue;
      const auto& list = list_of(row.config_json);
      votes.resize(leaves_.size(), 0);
      for (const std::size_t n : list) ++votes[n];
      if (!with_cells) continue;
      const auto [found, added] = list_number_.try_emplace(list, list_number_.size());
      list_of_[&row] = found->second;
    }
    std::map<std::string, std::size_t> most;
    for (std::size_t n = 0; n < leaves_.size(); ++n) {
      const auto [found, added] = most.try_emplace(leaves_[n].first, n);
      if (!added && votes[n] > votes[found->second]) found->second = n;
    }
    common_.assign(leaves_.size(), false);
    for (const auto& [path, n] : most) common_[n] = true;
    differences_.resize(list_number_.size());
    for (const auto& [list, number] : list_number_)
      for (const std::size_t n : list)
        if (!common_[n]) differences_[number].push_back(n);
  }

  // Number of the cell's list of differences; -1 for a cell without settings.
  std::int64_t difference(const Row& row) const {
    const auto found = list_of_.find(&row);
    return found == list_of_.end() ? -1 : static_cast<std::int64_t>(found->second);
  }
  json common() const {
    json out = json::array();
    for (std::size_t n = 0; n < leaves_.size(); ++n)
      if (common_[n]) out.push_back({leaves_[n].first, leaves_[n].second});
    return out;
  }
  const std::vector<std::vector<std::size_t>>& differences() const { return differences_; }
  json leaves() const {
    json out = json::array();
    for (const auto& [path, value] : leaves_) out.push_back({path, value});
    return out;
  }

 private:
  std::vector<std::size_t> numbers_of(const std::string& text) {
    Leaves leaves;
    const auto config = json::parse(text, nullptr, false);
    if (config.is_discarded())
      leaves = {{"unreadable settings", text}};
    else
      collect(config, "", leaves);
    std::vector<std::size_t> out;
    for (auto& leaf : leaves) {
      const auto [found, added] = leaf_number_.try_emplace(leaf, leaves_.size());
      if (added) leaves_.push_back(leaf);
      out.push_back(found->second);
    }
    return out;
  }

  // Of texts with one frame only one is read where seed and original, in which they differ, are own fields
  // of the cell.
  const std::vector<std::size_t>& list_of(const SettingsText& settings) {
    const auto& frame = settings.frame();
    auto& known = of_frame_[frame.get()];
    if (known.read && known.same) return known.list;
    known.list = numbers_of(settings.text());
    if (!known.read) {
      const SettingsText other(frame, ~settings.original(), settings.seed() < 0 ? 1 : -1);
      const std::size_t before = leaves_.size();
      known.same = numbers_of(other.text()) == known.list;
      for (; leaves_.size() > before; leaves_.pop_back()) leaf_number_.erase(leaves_.back());
      known.read = true;
    }
    return known.list;
  }

  struct OfFrame {
    bool read = false, same = false;
    std::vector<std::size_t> list;
  };
  std::unordered_map<const SettingsText::Frame*, OfFrame> of_frame_;
  Leaves leaves_;
  std::map<std::pair<std::string, std::string>, std::size_t> leaf_number_;
  std::map<std::vector<std::size_t>, std::size_t> list_number_;
  std::unordered_map<const Row*, std::size_t> list_of_;
  std::vector<bool> common_;
  std::vector<std::vector<std::size_t>> differences_;
};

class Texts {
 public:
  std::size_t number(const std::string& text) {
    const auto [found, added] = numbers_.try_emplace(text, texts_.size());
    if (added) texts_.push_back(text);
    return found->second;
  }
  const std::vector<std::string>& all() const { return texts_; }

 private:
  std::unordered_map<std::string, std::size_t> numbers_;
  std::vector<std::string> texts_;
};

}  // namespace

std::string html_data(const Leaderboard& leaderboard, bool with_cells) {
  const Board& board = *leaderboard.board;
  const bool in_full = board.rows.size() <= kCellsInFull;
  const auto hash = [&](const std::string& text) { return in_full ? text : text.substr(0, kShortHash); };
  const Settings settings(board, with_cells);
  Texts texts;
  json entries = json::array();
  for (const auto& group : leaderboard.groups) {
    if (!with_cells) break;
    for (const auto& entry : group.entries) {
      json cells = json::array();
      for (const Row* row : entry.cells) {
        json cell = {row->cell.id,
                     row->cell.seed,
                     texts.number(row->status),
                     row->reason,
                     texts.number(row->cell.original_id),
                     hash(row->parameter_hash),
                     hash(row->science_sha256),
                     hash(row->config_sha256),
                     texts.number(row->git_hash),
                     texts.number(row->host),
                     settings.difference(*row)};
        if (in_full && row->merged()) {
          json values = json::array();
          for (const double v : row->values)
            values.push_back(std::isfinite(v) ? fmt::format("{:.6g}", v) : std::string("not defined"));
          cell.push_back(values);
        }
        cells.push_back(std::move(cell));
      }
      entries.push_back({{"title", entry.method + " on " + shown_group(group)}, {"cells", cells}});
    }
  }
  const json out = {{"columns", board.row_names},
                    {"entries", entries},
                    {"texts", texts.all()},
                    {"diffs", settings.differences()},
                    {"settings", with_cells ? settings.leaves() : json::array()},
                    {"common", settings.common()}};
  std::string text = out.dump(-1, ' ', false, json::error_handler_t::replace);
  // "</script>" and "<!--" must not occur inside the element.
  std::string safe;
  for (const char c : text) safe += c == '<' ? std::string("\\u003c") : std::string(1, c);
  return safe;
}

}  // namespace expunge::board
