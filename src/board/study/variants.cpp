// Comparison of variants: the same cells run with different values of one setting (curriculum, trainable
// share, a loss weight), in one board or several, paired by data set, model, method, ratio, seed and
// original. Variants stand in the order of the boards; the first is what others are compared with.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "board/study/study.hpp"
#include "core/error.hpp"
#include "stat/intervals.hpp"
#include "stat/ranking.hpp"

namespace expunge::board {
namespace variants {

using Place = std::tuple<std::string, std::string, double>;  // data set and model, method, ratio
using Twin = std::tuple<std::int64_t, std::string>;          // seed, original
using Variant = std::pair<std::size_t, std::string>;         // the first board that has it, its value

struct Cells {
  std::map<Twin, std::map<std::string, double>> values;  // by column
  std::size_t planned = 0;
};

constexpr const char* kSweep = "sweep";  // as the setting that differs: cells differ by the sweep they are of
const std::vector<std::string> kColumns = {"test_accuracy", "forget_accuracy", "retain_accuracy", "overall"};

// `unset`: what a cell has that does not say.
StudyReport compare(const std::vector<StudySource>& sources, const std::string& by, const std::string& title,
                    const std::string& unset = "(unset)") {
  std::map<Place, std::map<Variant, Cells>> all;
  std::map<std::string, std::size_t> first_board;  // by variant
  for (std::size_t s = 0; s < sources.size(); ++s) {
    const auto& source = sources[s];
    for (const auto& row : source.board.rows) {
      if (row.cell.method == "retrain") continue;
      if (row.config_json.empty()) continue;  // its variant is not known; the board counts it
      std::string variant = by == kSweep ? source.board.sweep : setting_at(row, by);
      if (variant.empty()) variant = unset;
      const auto board = first_board.try_emplace(variant, s).first->second;
      auto& cells = all[{place_text(row), row.cell.method, row.cell.ratio}][{board, variant}];
      ++cells.planned;
      if (row.status != "ok") continue;
      auto& values = cells.values[{row.cell.seed, row.cell.original_id}];
      for (const auto& column : kColumns) values[column] = value_at(source.board, row, column);
    }
  }
  std::set<Variant> variants;
  for (const auto& [variant, board] : first_board) variants.emplace(board, variant);
  StudyReport out;
  StudyTable table{title,
                   {{"data and model", "method", "ratio", by, "D_test %", "D_f %", "D_r %", "overall %",
                     "cells", "d D_test", "95 %", "d D_f", "95 %", "pairs"}}};
  for (const auto& [place, by_variant] : all) {
    const Cells& base = by_variant.begin()->second;
    for (const auto& [variant, cells] : by_variant) {
      std::vector<std::string> line = {std::get<0>(place), std::get<1>(place),
                                       fmt::format("{:g}", std::get<2>(place)), variant.second};
      std::map<std::string, std::vector<double>> values, differences;
      for (const auto& [twin, columns] : cells.values)
        for (const auto& [column, v] : columns) {
          if (std::isnan(v)) continue;
          values[column].push_back(v);
          const auto other = base.values.find(twin);
          if (&cells != &base && other != base.values.end() && !std::isnan(other->second.at(column)))
            differences[column].push_back(v - other->second.at(column));
        }
      for (const auto& column : kColumns) line.push_back(percent(stat::mean(values[column])));
      line.push_back(fmt::format("{}/{}", cells.values.size(), cells.planned));
      for (const char* column : {"test_accuracy", "forget_accuracy"}) {
        const auto t = stat::t_interval(differences[column]);
        line.push_back(t.count == 0 ? "-" : fmt::format("{:+.1f}", 100 * t.mean));
        line.push_back(std::isnan(t.half_width) ? "-" : fmt::format("±{:.1f}", 100 * t.half_width));
      }
      line.push_back(fmt::format("{}", differences["test_accuracy"].size()));
      table.rows.push_back(std::move(line));
    }
  }
  out.tables.push_back(std::move(table));
  out.notes = {fmt::format(
      "d: paired difference, in percentage points, from the first variant of each method ({}), over cells "
      "with the same seeds.",
      variants.empty() ? std::string("none") : variants.begin()->second)};
  if (variants.size() < 2)
    out.notes.push_back(
        fmt::format("Only one value of {} is on these boards: give the boards of both variants.", by));
  return out;
}

StudyReport run_variants(const std::vector<StudySource>& sources, const StudyOptions& options) {
  if (options.by.empty())
    throw UsageError(
        "study variants: --by names the setting that differs, e.g. --by method_options.alpha (or --by "
        "sweep)");
  return compare(sources, options.by, "variants of " + options.by);
}

StudyReport run_curriculum(const std::vector<StudySource>& sources, const StudyOptions& options) {
  return compare(sources, options.by.empty() ? "method_options.curriculum.name" : options.by,
                 "with and without a curriculum", options.by.empty() ? "none" : "(unset)");
}

StudyReport run_peft(const std::vector<StudySource>& sources, const StudyOptions& options) {
  return compare(sources, options.by.empty() ? "method_options.trainable" : options.by,
                 "share of trainable parameters", options.by.empty() ? "all" : "(unset)");
}

const RegisterStudy variants({"variants",
                              "paired comparison of cells that differ in one setting (--by PATH): ablations",
                              "MultiDelete table 4", run_variants});
const RegisterStudy curriculum({"curriculum", "SuperLoss against no curriculum, paired", "MU-Bench table 3",
                                run_curriculum});
const RegisterStudy peft({"peft", "share of trainable parameters, paired", "MU-Bench figure 6", run_peft});

}  // namespace variants
}  // namespace expunge::board
