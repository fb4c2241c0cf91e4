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

// An entry without its cells.
nlohmann::json json_entry(const Leaderboard& leaderboard, const Entry& entry) {
  nlohmann::json values = nlohmann::json::object();
  for (std::size_t c = 0; c < leaderboard.columns.size(); ++c) {
    const auto& v = entry.values[c];
    values[leaderboard.columns[c].name] = {{"n", v.count},
                                           {"mean", json_number(v.mean)},
                                           {"half_width_95", json_number(v.half_width)},
                                           {"interval_95", json_bounds(v.bounds)},
                                           {"interval", v.bootstrap ? "bca" : "t"},
                                           {"best", static_cast<bool>(entry.best[c])}};
  }
  return {{"method", entry.method},
          {"planned", entry.cells.size()},
          {"ok", entry.ok},
          {"diverged", entry.diverged},
          {"budget", entry.budget},
          {"failed", entry.failed},
          {"missing", entry.missing},
          {"values", values},
          {"cells", nlohmann::json::array()}};
}

// Writes JSON with a space a step of depth.
class JsonWriter {
 public:
  explicit JsonWriter(const Write& write) : write_(write) {}

  void value(const nlohmann::json& json, std::size_t depth) { lines(dump(json), depth); }

  // An object of which the list `key`, empty here, has `count` elements that `element` writes.
  template <class Element>
  void with_list(const nlohmann::json& json, const std::string& key, std::size_t count, std::size_t depth,
                 Element&& element) {
    const std::string text = dump(json), list = "\n \"" + key + "\": []";
    const auto end = text.find(list) + list.size() - 1;
    lines(std::string_view(text).substr(0, end), depth);
    for (std::size_t i = 0; i < count; ++i) {
      write_(i > 0 ? ",\n" : "\n");
      write_(std::string(depth + 2, ' '));
      element(i);
    }
    if (count > 0) write_("\n" + std::string(depth + 1, ' '));
    lines(std::string_view(text).substr(end), depth);
  }

 private:
  static std::string dump(const nlohmann::json& json) {
    return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  void lines(std::string_view text, std::size_t depth) {
    std::string out;
    for (const char c : text) {
      out += c;
      if (c == '\n') out.append(depth, ' ');
    }
    write_(out);
  }

  const Write& write_;
};

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

void write_json(const Leaderboard& leaderboard, const Rankings& rankings, const Write& write) {
  const Board& board = *leaderboard.board;
  nlohmann::json columns = nlohmann::json::array(), rankings_json = nlohmann::json::array();
  for (const auto& c : leaderboard.columns)
    columns.push_back({{"name", c.name},
                       {"title", c.title},
                       {"help", c.help},
                       {"better", c.better},
                       {"percent", c.percent},
                       {"gap", c.gap}});
  for (const auto& r : rankings) rankings_json.push_back(json_ranking(leaderboard, r));
  nlohmann::json counts = {{"cells", board.rows.size()}, {"merged", board.merged()}};
  for (const char* status : {"ok", "diverged", "budget", "failed", "corrupt", "foreign", "missing"})
    counts[status] = board.count(status);
  const nlohmann::json all = {{"schema", 1},
                              {"kind", "leaderboard"},
                              {"sweep", board.sweep},
                              {"sweep_sha256", board.sweep_sha256},
                              {"science_sha256", science_sha256(board)},
                              {"counts", counts},
                              {"columns", columns},
                              {"groups", nlohmann::json::array()},
                              {"rankings", rankings_json},
                              {"recomputed", board.recomputed}};
  JsonWriter out(write);
  out.with_list(all, "groups", leaderboard.groups.size(), 0, [&](std::size_t i) {
    const Group& g = leaderboard.groups[i];
    const nlohmann::json group = {
        {"dataset", g.dataset}, {"model", g.model}, {"ratio", g.ratio}, {"methods", nlohmann::json::array()}};
    out.with_list(group, "methods", g.entries.size(), 2, [&](std::size_t k) {
      const Entry& entry = g.entries[k];
      out.with_list(json_entry(leaderboard, entry), "cells", entry.cells.size(), 4,
                    [&](std::size_t c) { out.value(json_cell(board, *entry.cells[c]), 6); });
    });
  });
  write("\n");
}

std::string render_json(const Leaderboard& leaderboard, const Rankings& rankings) {
  std::string out;
  write_json(leaderboard, rankings, [&](std::string_view part) { out += part; });
  return out;
}

}  // namespace expunge::board
