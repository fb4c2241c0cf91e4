#include "board/joined.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/counted.hpp"
#include "core/numbers.hpp"

namespace expunge::board {
namespace {

constexpr const char* kOver[] = {"", "ratios", "ratios and models", "ratios, models and data sets"};

void add(Entry& to, const Entry& entry) {
  to.method = entry.method;
  to.cells.insert(to.cells.end(), entry.cells.begin(), entry.cells.end());
  to.ok += entry.ok, to.diverged += entry.diverged, to.budget += entry.budget;
  to.failed += entry.failed, to.missing += entry.missing;
  to.values.resize(entry.values.size());
  for (std::size_t c = 0; c < entry.values.size(); ++c)
    if (entry.values[c].count > 0) to.values[c].mean += entry.values[c].mean, ++to.values[c].count;
}

// What a group was joined over, in words: "8 ratios".
struct Names {
  std::set<double> ratios;
  std::set<std::string> models, datasets;
};

std::string in_words(const Names& names, int level) {
  std::string out = counted(std::ssize(names.ratios), "ratio");
  if (level > 1) out += ", " + counted(std::ssize(names.models), "model");
  if (level > 2) out += ", " + counted(std::ssize(names.datasets), "data set");
  return "over " + out;
}

Leaderboard joined(const Leaderboard& leaderboard, int level) {
  std::map<std::pair<std::string, std::string>, std::map<std::pair<bool, std::string>, Entry>> groups;
  std::map<std::pair<std::string, std::string>, Names> names;
  for (const auto& group : leaderboard.groups) {
    const std::pair place{level > 2 ? "" : group.dataset, level > 1 ? "" : group.model};
    names[place].ratios.insert(group.ratio);
    names[place].models.insert(group.model);
    names[place].datasets.insert(group.dataset);
    for (const auto& entry : group.entries)
      add(groups[place][{entry.method != "retrain", entry.method}], entry);
  }
  Leaderboard out;
  out.board = leaderboard.board;
  out.columns = leaderboard.columns;
  for (auto& [place, entries] : groups) {
    Group group{place.first, place.second, kNan, {}, in_words(names.at(place), level)};
    for (auto& [order, entry] : entries) {
      for (auto& value : entry.values) {
        value.mean = value.count > 0 ? value.mean / static_cast<double>(value.count) : kNan;
        value.half_width = kNan;
        value.bounds = {kNan, kNan};
      }
      group.entries.push_back(std::move(entry));
    }
    mark_best(out.columns, group);
    out.groups.push_back(std::move(group));
  }
  return out;
}

}  // namespace

std::size_t table_bytes(const Leaderboard& leaderboard, std::size_t columns) {
  constexpr std::size_t kGroup = 800, kHeading = 200, kEntry = 150, kNumber = 60;
  std::size_t out = 0;
  for (const auto& group : leaderboard.groups)
    out += kGroup + kHeading * columns + group.entries.size() * (kEntry + kNumber * columns);
  return out;
}

Joined joined_to_fit(const Leaderboard& leaderboard, std::size_t columns, std::size_t most) {
  Joined out{leaderboard, kOver[0]};
  for (int level = 1; level <= 3 && table_bytes(out.leaderboard, columns) > most; ++level)
    out = {joined(leaderboard, level), kOver[level]};
  return out;
}

}  // namespace expunge::board
