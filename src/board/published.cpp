#include "board/published.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "board/format.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/numbers.hpp"
#include "core/text.hpp"

namespace expunge::board {
namespace {

using nlohmann::json;

std::string text_or_empty(const json& object, const char* key) {
  return object.contains(key) && object.at(key).is_string() ? object.at(key).get<std::string>() : "";
}

std::optional<double> number_or_none(const json& value) {
  return value.is_number() ? std::optional<double>(value.get<double>()) : std::nullopt;
}

PublishedTable table_of(const json& from) {
  PublishedTable out;
  from.at("id").get_to(out.id);
  from.at("title").get_to(out.title);
  from.at("warnings").get_to(out.warnings);
  for (const auto& c : from.at("columns"))
    out.columns.push_back({c.at("title"), text_or_empty(c, "dataset"), text_or_empty(c, "metric"),
                           c.at("scale"),
                           c.contains("ratio") ? number_or_none(c.at("ratio")) : std::nullopt});
  for (const auto& r : from.at("rows")) {
    PublishedRow row{r.at("printed"), r.at("method"), r.at("trainable"), {}};
    for (const auto& v : r.at("values")) row.values.push_back(number_or_none(v));
    if (row.values.size() != out.columns.size())
      throw DataError::corrupt(fmt::format("table {}: {} has {} values for {} columns", out.id, row.printed,
                                           row.values.size(), out.columns.size()));
    out.rows.push_back(std::move(row));
  }
  return out;
}

// How a cell's parameters are trained: "all" unless its settings say otherwise.
std::string trainable_of(const Row& row) {
  const auto config = json::parse(row.config_json.text(), nullptr, false);
  if (config.is_discarded()) return "all";
  for (const char* place : {"/settings/method_options/trainable", "/settings/trainable"})
    if (const json::json_pointer at(place); config.contains(at) && config.at(at).is_string())
      return config.at(at).get<std::string>();
  return "all";
}

bool matches_data(const Published& paper, const std::string& published, const std::string& ours,
                  bool& other) {
  if (published.empty()) {
    other = true;  // an average over the paper's data sets: ours is over this board's
    return true;
  }
  if (published == ours) return true;
  const bool stands_in =
      std::ranges::find(paper.stand_ins, std::pair(published, ours)) != paper.stand_ins.end();
  other |= stands_in;
  return stands_in;
}

std::string number(double v) {
  return std::isnan(v) ? "-" : std::abs(v) < 10 ? fmt::format("{:.2f}", v) : fmt::format("{:.1f}", v);
}

std::string render_column(const Leaderboard& leaderboard, const Published& paper, const PublishedTable& table,
                          std::size_t c) {
  const auto& column = table.columns[c];
  std::string out;
  for (const auto& row : table.rows) {
    const Ours ours = ours_of(leaderboard, paper, column, row);
    if (!row.values[c] && ours.groups == 0) continue;
    const double theirs = row.values[c].value_or(kNan);
    out += fmt::format("    {}{}{}{}\n", padded(row.printed, 22, false), padded(number(theirs), 10, false),
                       padded(number(ours.value) + (ours.other_data && ours.groups ? " †" : ""), 12, false),
                       std::isnan(theirs - ours.value) ? "-" : fmt::format("{:+.2f}", ours.value - theirs));
  }
  const std::string what = column.metric.empty()    ? "no column of this program is this number"
                           : column.dataset.empty() ? "ours: average over this board's data sets"
                                                    : "ours: " + column.metric;
  return fmt::format("  {} ({})\n    {}{}{}difference\n{}", column.title, what, padded("method", 22, false),
                     padded("paper", 10, false), padded("ours", 12, false), out);
}

std::string places_of(const Leaderboard& leaderboard) {
  std::set<std::string> datasets, models, ratios;
  for (const auto& g : leaderboard.groups) {
    datasets.insert(g.dataset);
    models.insert(g.model);
    ratios.insert(fmt::format("{:g}", g.ratio));
  }
  const auto list = [](const std::set<std::string>& s) { return join({s.begin(), s.end()}, ", "); };
  return fmt::format("data {}; models {}; ratios {}", list(datasets), list(models), list(ratios));
}

}  // namespace

std::vector<std::string> published_names(const fs::path& folder) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == ".json") out.push_back(entry.path().stem().string());
  std::sort(out.begin(), out.end());
  return out;
}

Published read_published(const fs::path& folder, const std::string& name) {
  const auto names = published_names(folder);
  if (std::find(names.begin(), names.end(), name) == names.end())
    throw UsageError(fmt::format("no published tables \"{}\"{}", name, did_you_mean(name, names)));
  const fs::path path = folder / (name + ".json");
  Published out;
  try {
    const json from = json::parse(read_file(path));
    if (from.at("schema") != 1)
      throw DataError::corrupt(fmt::format("{}: has schema {}, this program reads schema 1", path.string(),
                                           from.at("schema").dump()));
    from.at("name").get_to(out.name);
    from.at("citation").get_to(out.citation);
    from.at("settings").get_to(out.settings);
    for (const auto& [published, ours] : from.at("stand_ins").items())
      for (const auto& dataset : ours) out.stand_ins.emplace_back(published, dataset.get<std::string>());
    for (const auto& table : from.at("tables")) out.tables.push_back(table_of(table));
  } catch (const json::exception& error) {
    throw DataError::corrupt(fmt::format("{}: {}", path.string(), error.what()));
  }
  return out;
}

Ours ours_of(const Leaderboard& leaderboard, const Published& paper, const PublishedColumn& column,
             const PublishedRow& row) {
  Ours out{0, kNan, false};
  const auto at = column.metric.empty() ? std::nullopt : column_at(leaderboard, column.metric);
  if (!at) return out;
  double sum = 0;
  for (const auto& group : leaderboard.groups) {
    bool other = false;
    if (column.ratio && std::abs(group.ratio - *column.ratio) > 1e-12) continue;
    if (!matches_data(paper, column.dataset, group.dataset, other)) continue;
    for (const auto& entry : group.entries) {
      if (entry.method != row.method || entry.values[*at].count == 0) continue;
      if (trainable_of(*entry.cells.front()) != row.trainable) continue;
      sum += entry.values[*at].mean;
      ++out.groups;
      out.other_data |= other;
    }
  }
  if (out.groups > 0) out.value = column.scale * sum / static_cast<double>(out.groups);
  return out;
}

std::string render_published(const Leaderboard& leaderboard, const Published& paper) {
  std::string out =
      fmt::format("{}\npaper: {}\nours:  {}\n", paper.citation, paper.settings, places_of(leaderboard));
  out +=
      "Settings differ: read a difference as a question, not as an error of either side. † other data than "
      "the "
      "paper's; ours is the mean over this board's matching groups; - not printed, or not on this board.\n";
  for (const auto& table : paper.tables) {
    out += "\n" + table.title + "\n";
    for (const auto& warning : table.warnings) out += "  ! " + warning + "\n";
    for (std::size_t c = 0; c < table.columns.size(); ++c) out += render_column(leaderboard, paper, table, c);
  }
  return out;
}

}  // namespace expunge::board
