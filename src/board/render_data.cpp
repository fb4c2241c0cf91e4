// Comma-separated values and JSON.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "board/format.hpp"
#include "board/render.hpp"

namespace expunge::board {
namespace {

std::string csv_number(double value) { return std::isnan(value) ? "" : fmt::format("{}", value); }

nlohmann::json json_number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

nlohmann::json json_bounds(const stat::Bounds& b) { return {json_number(b.low), json_number(b.high)}; }

nlohmann::json json_cell(const Board& board, const Row& row) {
  nlohmann::json values = nlohmann::json::object(), timing = nlohmann::json::object();
  for (std::size_t c = 0; c < board.row_names.size(); ++c)
    values[board.row_names[c]] = json_number(row.values[c]);
  for (std::size_t t = 0; t < board.timing_names.size(); ++t)
    timing[board.timing_names[t]] = json_number(row.timing[t]);
  return {{"id", row.cell.id},
          {"key", row.cell.key},
          {"seed", row.cell.seed},
          {"status", row.status},
          {"reason", row.reason},
          {"row", values},
          {"timing", timing},
          {"parameter_hash", row.parameter_hash},
          {"science_sha256", row.science_sha256},
          {"config_sha256", row.config_sha256},
          {"git_hash", row.git_hash},
          {"host", row.host}};
}

nlohmann::json json_entry(const Leaderboard& leaderboard, const Entry& entry) {
  nlohmann::json values = nlohmann::json::object(), cells = nlohmann::json::array();
  for (std::size_t c = 0; c < leaderboard.columns.size(); ++c) {
    const auto& v = entry.values[c];
    values[leaderboard.columns[c].name] = {{"n", v.count},
                                           {"mean", json_number(v.mean)},
                                           {"half_width_95", json_number(v.half_width)},
                                           {"interval_95", json_bounds(v.bounds)},
                                           {"interval", v.bootstrap ? "bca" : "t"},
                                           {"best", static_cast<bool>(entry.best[c])}};
  }
  for (const Row* row : entry.cells) cells.push_back(json_cell(*leaderboard.board, *row));
  return {{"method", entry.method},
          {"planned", entry.cells.size()},
          {"ok", entry.ok},
          {"diverged", entry.diverged},
          {"budget", entry.budget},
          {"failed", entry.failed},
          {"missing", entry.missing},
          {"values", values},
          {"cells", cells}};
}

nlohmann::json json_ranking(const Leaderboard& leaderboard, const Ranking& r) {
  nlohmann::json places = nlohmann::json::array(), pairs = nlohmann::json::array(),
                 unranked = nlohmann::json::array();
  for (const auto& p : r.places)
    places.push_back({{"method", p.method},
                      {"rank", p.rank},
                      {"rank_95", json_bounds(p.interval.rank)},
                      {"place_95", json_bounds(p.interval.place)},
                      {"mean", p.mean},
                      {"cells", p.cells},
                      {"tie_groups", p.ties}});
  for (std::size_t i = 0; i < r.places.size(); ++i)
    for (std::size_t j = i + 1; j < r.places.size(); ++j) {
      const Pair& p = r.pair(i, j);
      pairs.push_back({{"a", r.places[i].method},
                       {"b", r.places[j].method},
                       {"wins", p.wins},
                       {"ties", p.ties},
                       {"losses", p.losses},
                       {"difference", p.difference},
                       {"difference_95", json_bounds(p.bounds)},
                       {"p", json_number(p.p)},
                       {"p_holm", json_number(p.holm)}});
    }
  for (const auto& u : r.unranked) unranked.push_back({{"method", u.method}, {"reason", u.reason}});
  return {{"column", leaderboard.columns[r.column].name},
          {"planned_cells", r.planned},
          {"common_cells", r.common},
          {"blocks", r.blocks},
          {"block", r.by_group ? "group" : "cell"},
          {"friedman",
           {{"chi_squared", json_number(r.friedman.statistic)},
            {"p", json_number(r.friedman.p)},
            {"f", json_number(r.friedman.f)},
            {"f_p", json_number(r.friedman.f_p)}}},
          {"places", places},
          {"pairs", pairs},
          {"unranked", unranked},
          {"problem", r.problem},
          {"notes", ranking_notes(leaderboard, r)}};
}

}  // namespace

std::string render_csv(const Leaderboard& leaderboard, const Rankings&) {
  std::string out = "dataset,model,ratio,method,planned,ok,diverged,budget,failed,missing";
  for (const auto& c : leaderboard.columns)
    out += fmt::format(",{0},{0}_n,{0}_half_width_95,{0}_low_95,{0}_high_95", csv_field(c.name));
  out += "\n";
  for (const auto& g : leaderboard.groups) {
    for (const auto& e : g.entries) {
      out +=
          fmt::format("{},{},{},{},{},{},{},{},{},{}", csv_field(g.dataset), csv_field(g.model), g.ratio,
                      csv_field(e.method), e.cells.size(), e.ok, e.diverged, e.budget, e.failed, e.missing);
      for (const auto& v : e.values)
        out += fmt::format(",{},{},{},{},{}", csv_number(v.mean), v.count, csv_number(v.half_width),
                           csv_number(v.bounds.low), csv_number(v.bounds.high));
      out += "\n";
    }
  }
  return out;
}

std::string render_json(const Leaderboard& leaderboard, const Rankings& rankings) {
  const Board& board = *leaderboard.board;
  nlohmann::json columns = nlohmann::json::array(), groups = nlohmann::json::array();
  for (const auto& c : leaderboard.columns)
    columns.push_back({{"name", c.name},
                       {"title", c.title},
                       {"help", c.help},
                       {"better", c.better},
                       {"percent", c.percent},
                       {"gap", c.gap}});
  for (const auto& g : leaderboard.groups) {
    nlohmann::json entries = nlohmann::json::array();
    for (const auto& e : g.entries) entries.push_back(json_entry(leaderboard, e));
    groups.push_back({{"dataset", g.dataset}, {"model", g.model}, {"ratio", g.ratio}, {"methods", entries}});
  }
  nlohmann::json rankings_json = nlohmann::json::array();
  for (const auto& r : rankings) rankings_json.push_back(json_ranking(leaderboard, r));
  nlohmann::json counts = {{"cells", board.rows.size()}, {"merged", board.merged()}};
  for (const char* status : {"ok", "diverged", "budget", "failed", "corrupt", "foreign", "missing"})
    counts[status] = board.count(status);
  return nlohmann::json{{"schema", 1},
                        {"kind", "leaderboard"},
                        {"sweep", board.sweep},
                        {"sweep_sha256", board.sweep_sha256},
                        {"science_sha256", science_sha256(board)},
                        {"counts", counts},
                        {"columns", columns},
                        {"groups", groups},
                        {"rankings", rankings_json},
                        {"recomputed", board.recomputed}}
             .dump(1, ' ', false, nlohmann::json::error_handler_t::replace) +
         "\n";
}

}  // namespace expunge::board
