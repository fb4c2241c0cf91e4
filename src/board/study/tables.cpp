// Plain tables of the papers from a board: unlearning time, membership inference, accuracy of every class.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "board/study/study.hpp"
#include "stat/intervals.hpp"
#include "store/store_file.hpp"

namespace expunge::board {
namespace tables {

using Key = std::tuple<std::string, double, std::string>;  // data set and model, ratio, method

std::string with_interval(const std::vector<double>& values, double scale, const char* format) {
  if (values.empty()) return "-";
  const auto t = stat::t_interval(values);
  std::string out = fmt::format(fmt::runtime(format), scale * t.mean);
  if (!std::isnan(t.half_width)) out += " ±" + fmt::format(fmt::runtime(format), scale * t.half_width);
  return out;
}

// Values of the ok cells by group and method, for each of several getters.
template <class Get>
std::map<Key, std::vector<std::vector<double>>> gather(const std::vector<StudySource>& sources,
                                                       std::size_t columns, Get&& get) {
  std::map<Key, std::vector<std::vector<double>>> out;
  for (const auto& source : sources)
    for (const auto& row : source.board.rows) {
      auto& at = out[{place_text(row), row.cell.ratio, row.cell.method}];
      at.resize(columns);
      if (row.status != "ok") continue;
      for (std::size_t c = 0; c < columns; ++c)
        if (const double v = get(source.board, row, c); !std::isnan(v)) at[c].push_back(v);
    }
  return out;
}

StudyReport run_time(const std::vector<StudySource>& sources, const StudyOptions&) {
  const auto all = gather(sources, 3, [](const Board& board, const Row& row, std::size_t c) {
    return c == 0 ? seconds_at(board, row, "unlearn")
                  : value_at(board, row, c == 1 ? "unlearn_flops" : "percent_of_retrain");
  });
  StudyReport out;
  StudyTable table{"unlearning time and cost, means over seeds ± half of the 95 % t interval",
                   {{"data and model", "ratio", "method", "seconds", "x retrain's seconds", "FLOPs",
                     "% of retrain's FLOPs", "cells"}}};
  for (const auto& [key, values] : all) {
    const auto& [place, ratio, method] = key;
    const auto retrain = all.find({place, ratio, "retrain"});
    const double reference =
        retrain == all.end() || retrain->second[0].empty() ? std::nan("") : stat::mean(retrain->second[0]);
    const double share = values[0].empty() ? std::nan("") : stat::mean(values[0]) / reference;
    table.rows.push_back({place, fmt::format("{:g}", ratio), method, with_interval(values[0], 1, "{:.2f}"),
                          std::isnan(share)
                              ? "-"
                              : fmt::format("{:.2f}{}", share, share > 1 && method != "retrain" ? " !" : ""),
                          values[1].empty() ? "-" : fmt::format("{:.3g}", stat::mean(values[1])),
                          with_interval(values[2], 100, "{:.1f}"), fmt::format("{}", values[0].size())});
  }
  out.tables.push_back(std::move(table));
  out.notes = {
      "Seconds from the first work of the method to its last update, on the machines that ran the cells, "
      "without "
      "evaluation and checkpoints. !: slower than retraining, which MU-Bench's rule forbids."};
  return out;
}

using Columns =
    std::vector<std::pair<const char*, const char*>>;  // of a board; title, in percent where it says so

// Means of columns by group and method; columns that no cell has are left out.
StudyTable means(const std::vector<StudySource>& sources, const std::string& title, const Columns& columns) {
  const auto all = gather(sources, columns.size(), [&](const Board& board, const Row& row, std::size_t c) {
    return value_at(board, row, columns[c].first);
  });
  StudyTable table{title + ", means over seeds ± half of the 95 % t interval",
                   {{"data and model", "ratio", "method"}}};
  std::vector<bool> defined(columns.size(), false);
  for (const auto& [key, values] : all)
    for (std::size_t c = 0; c < columns.size(); ++c) defined[c] = defined[c] || !values[c].empty();
  for (std::size_t c = 0; c < columns.size(); ++c)
    if (defined[c]) table.rows[0].push_back(columns[c].second);
  for (const auto& [key, values] : all) {
    const auto& [place, ratio, method] = key;
    std::vector<std::string> line = {place, fmt::format("{:g}", ratio), method};
    for (std::size_t c = 0; c < columns.size(); ++c) {
      const bool share = std::string(columns[c].second).find('%') != std::string::npos;
      if (defined[c]) line.push_back(with_interval(values[c], share ? 100 : 1, share ? "{:.1f}" : "{:.2f}"));
    }
    table.rows.push_back(std::move(line));
  }
  return table;
}

StudyReport run_mia(const std::vector<StudySource>& sources, const StudyOptions&) {
  const Columns columns = {{"mia_success", "D_f %"},
                           {"mia_false_positive", "unseen %"},
                           {"mia_success_retain", "D_r %"},
                           {"mia_ratio", "ratio"},
                           {"mia_ratio_retain", "ratio D_r"},
                           {"mia_svm_success", "SVM D_f %"},
                           {"mia_svm_false_positive", "SVM unseen %"},
                           {"mia_svm_success_retain", "SVM D_r %"},
                           {"mia_svm_ratio", "SVM ratio"},
                           {"mia_svm_ratio_retain", "SVM ratio D_r"}};
  StudyReport out;
  out.tables.push_back(means(sources, "membership inference", columns));
  out.notes = {
      "Shares called training data. D_f at the rate of unseen samples looks unseen; the ratio is prior over "
      "posterior, and a high ratio on D_r is damage, not unlearning.",
      "SVM columns: expunge reduce DIR --recompute mia_svm (needs kept outputs)."};
  return out;
}

// A table without the columns that it is about says how to get them.
StudyReport about(const std::vector<StudySource>& sources, const std::string& title, const Columns& columns,
                  const std::string& meaning, const std::string& metric) {
  StudyReport out;
  out.tables.push_back(means(sources, title, columns));
  out.notes.push_back(meaning);
  const auto& titles = out.tables[0].rows[0];
  if (std::find(titles.begin(), titles.end(), columns.front().second) == titles.end())
    out.notes.push_back(
        fmt::format("No cell on these boards has it: run them with \"{}\" in [evaluate] metrics.", metric));
  return out;
}

StudyReport run_relearn(const std::vector<StudySource>& sources, const StudyOptions&) {
  return about(
      sources, "time to recover",
      {{"relearn_passes", "passes over D_f"}, {"forget_accuracy", "D_f %"}, {"test_accuracy", "D_test %"}},
      "Passes over D_f, trained as the original was, until its accuracy is back within the margin of the "
      "original's; compare with retrain's: fewer mean that D_f was hidden, not forgotten.",
      "relearn");
}

StudyReport run_transfer(const std::vector<StudySource>& sources, const StudyOptions&) {
  return about(
      sources, "zero-shot transfer",
      {{"transfer_accuracy", "transfer %"},
       {"transfer_change", "d transfer %"},
       {"transfer_robustness", "d robustness %"},
       {"test_accuracy", "D_test %"}},
      "d transfer: change from the original, in percentage points; d robustness: the same less the change on "
      "D_test, so below 0 means that unlearning cost more there than here.",
      "transfer");
}

StudyReport run_classes(const std::vector<StudySource>& sources, const StudyOptions&) {
  std::map<Key, std::map<std::string, std::vector<std::pair<std::int64_t, std::int64_t>>>> all;
  std::size_t without = 0;
  for (const auto& source : sources)
    for (const auto& row : source.board.rows) {
      if (row.status != "ok") continue;
      const auto path = source.folder / "cells" / row.cell.id.substr(0, 2) / (row.cell.id + ".h5");
      if (!std::filesystem::exists(path)) {
        ++without;
        continue;
      }
      const auto record = store::read_record(path);
      for (const auto& [split, sums] : record.splits) {
        if (sums.confusion.empty()) continue;
        auto& classes = all[{place_text(row), row.cell.ratio, row.cell.method}][split];
        classes.resize(static_cast<std::size_t>(sums.classes));
        for (std::size_t k = 0; k < classes.size(); ++k) {
          classes[k].first += sums.confusion[k * classes.size() + k];
          for (std::size_t j = 0; j < classes.size(); ++j)
            classes[k].second += sums.confusion[k * classes.size() + j];
        }
      }
    }
  StudyReport out;
  for (const char* split : {"test", "forget"}) {
    StudyTable table{fmt::format("accuracy of every class on {}, %, pooled over seeds", split),
                     {{"data and model", "ratio", "method", "worst"}}};
    for (const auto& [key, splits] : all) {
      const auto found = splits.find(split);
      if (found == splits.end()) continue;
      std::vector<std::string> line = {std::get<0>(key), fmt::format("{:g}", std::get<1>(key)),
                                       std::get<2>(key), ""};
      double worst = 2;
      for (std::size_t k = 0; k < found->second.size(); ++k) {
        if (table.rows[0].size() < k + 5) table.rows[0].push_back(fmt::format("{}", k));
        const auto [correct, count] = found->second[k];
        const double accuracy =
            count > 0 ? static_cast<double>(correct) / static_cast<double>(count) : std::nan("");
        if (count > 0) worst = std::min(worst, accuracy);
        line.push_back(percent(accuracy));
      }
      line[3] = percent(worst > 1 ? std::nan("") : worst);
      table.rows.push_back(std::move(line));
    }
    if (table.rows.size() > 1) out.tables.push_back(std::move(table));
  }
  if (out.tables.empty())
    out.notes.push_back("No store with a confusion matrix was found under the sweeps' folders.");
  if (without > 0)
    out.notes.push_back(
        fmt::format("{} cells left out: their stores are not under the sweep's folder.", without));
  return out;
}

const RegisterStudy time_study({"time", "unlearning time and cost against retraining's",
                                "MU-Bench table 6; methods.md 5.6", run_time});
const RegisterStudy mia_study({"mia", "membership inference with its controls, both attackers",
                               "MU-Bench table 5; methods.md 5.3", run_mia});
const RegisterStudy relearn_study({"relearn", "passes over D_f that bring it back, against retraining's",
                                   "Golatkar et al. 2020; Chundawat et al. 2023", run_relearn});
const RegisterStudy transfer_study({"transfer",
                                    "accuracy on data of another kind, and what unlearning changed there",
                                    "MU-Bench; methods.md 5.8", run_transfer});
const RegisterStudy class_study({"classes", "accuracy of every class and of the worst", "methods.md 5.1",
                                 run_classes});

}  // namespace tables
}  // namespace expunge::board
