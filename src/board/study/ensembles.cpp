// U-LiRA and KLoM: an unlearned model's outputs against those of retrained ones, sample by sample, over the
// seeds of a sweep (the cells of a group are the ensemble; several originals make it stronger). From kept
// outputs only.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "board/recompute.hpp"
#include "board/study/study.hpp"
#include "metrics/scores.hpp"
#include "stat/bootstrap.hpp"
#include "stat/divergence.hpp"
#include "stat/ensembles.hpp"
#include "stat/intervals.hpp"
#include "stat/rank.hpp"

namespace expunge::board {
namespace ensembles {

constexpr std::size_t kLeastModels = 3;
const std::vector<std::string> kSplits = {"forget", "retain", "test"};

// The margin of a sample: logit of its label minus the log-sum-exp of the others (Georgiev et al. 2024).
std::vector<double> margins(const metrics::Outputs& outputs) {
  std::vector<double> out;
  const auto classes = static_cast<std::size_t>(outputs.classes);
  std::vector<float> others(classes - 1);
  for (const std::int64_t i : metrics::id_order(outputs)) {
    const float* row = outputs.row(i);
    const auto label = static_cast<std::size_t>(outputs.labels[static_cast<std::size_t>(i)]);
    std::copy(row, row + label, others.begin());
    std::copy(row + label + 1, row + classes, others.begin() + static_cast<std::ptrdiff_t>(label));
    // log-sum-exp(z) = z_0 - log softmax(z)_0.
    out.push_back(row[label] - (others[0] - stat::log_softmax(others)[0]));
  }
  return out;
}

// Margins of one group's models: split -> model -> sample.
struct Ensemble {
  std::map<std::string, std::vector<std::vector<double>>> by_split;
  std::size_t models = 0, planned = 0;
};

using Place = std::tuple<std::string, double>;  // data set and model, ratio

std::map<Place, std::map<std::string, Ensemble>> collect(const std::vector<StudySource>& sources,
                                                         std::map<std::string, std::size_t>& skipped) {
  std::map<Place, std::map<std::string, Ensemble>> out;
  for (const auto& source : sources) {
    KeptOutputs kept(source.folder);
    for (const auto& row : source.board.rows) {
      auto& ensemble = out[{place_text(row), row.cell.ratio}][row.cell.method];
      ++ensemble.planned;
      if (row.status != "ok") continue;
      metrics::Inputs in;
      std::string reason;
      if (!kept.load(row, nullptr, in, reason)) {
        ++skipped[reason];
        continue;
      }
      for (const auto& split : kSplits)
        if (metrics::usable(in, split) && in.get(split).classes > 1)
          ensemble.by_split[split].push_back(margins(in.get(split)));
      ++ensemble.models;
    }
  }
  return out;
}

bool comparable(const Ensemble& a, const Ensemble& b, const std::string& split) {
  const auto x = a.by_split.find(split), y = b.by_split.find(split);
  if (x == a.by_split.end() || y == b.by_split.end()) return false;
  const std::size_t samples = x->second.front().size();
  const auto same = [&](const std::vector<double>& m) { return m.size() == samples; };
  return std::ranges::all_of(x->second, same) && std::ranges::all_of(y->second, same);
}

std::vector<double> sample(const std::vector<std::vector<double>>& models, std::size_t i) {
  std::vector<double> out;
  for (const auto& m : models) out.push_back(m[i]);
  return out;
}

std::vector<double> klom_of_samples(const Ensemble& retrained, const Ensemble& unlearned,
                                    const std::string& split) {
  const auto &r = retrained.by_split.at(split), &u = unlearned.by_split.at(split);
  std::vector<double> out;
  for (std::size_t i = 0; i < r.front().size(); ++i) out.push_back(stat::klom(sample(r, i), sample(u, i)));
  return out;
}

// The attack on D_f: how well the likelihood ratios of all samples and models tell unlearned from retrained.
struct Attack {
  double auc, accuracy, hits_at_1_percent;
};

Attack u_lira(const Ensemble& retrained, const Ensemble& unlearned) {
  const auto &r = retrained.by_split.at("forget"), &u = unlearned.by_split.at("forget");
  std::vector<double> positive, negative;
  for (std::size_t i = 0; i < r.front().size(); ++i) {
    const auto ratios = stat::likelihood_ratios(sample(u, i), sample(r, i));
    positive.insert(positive.end(), ratios.unlearned.begin(), ratios.unlearned.end());
    negative.insert(negative.end(), ratios.retrained.begin(), ratios.retrained.end());
  }
  const auto above = [](const std::vector<double>& v, double t) {
    return static_cast<double>(std::ranges::count_if(v, [t](double x) { return x > t; })) /
           static_cast<double>(v.size());
  };
  std::vector<double> sorted = negative;
  std::sort(sorted.begin(), sorted.end());
  return {stat::auc(positive, negative), (above(positive, 0) + 1 - above(negative, 0)) / 2,
          above(positive, stat::sorted_quantile(sorted, 0.99))};
}

void add_notes(StudyReport& report, const std::map<std::string, std::size_t>& skipped) {
  for (const auto& [reason, count] : skipped)
    report.notes.push_back(fmt::format("{} cells left out: {}.", count, reason));
}

// Calls visit(place, ratio, method, retrained, unlearned) for every method with a comparable ensemble.
template <class Visit>
void each_method(const std::map<Place, std::map<std::string, Ensemble>>& all, std::size_t least,
                 StudyReport& out, Visit&& visit) {
  for (const auto& [place, methods] : all) {
    const auto retrain = methods.find("retrain");
    if (retrain == methods.end() || retrain->second.models < least) {
      out.notes.push_back(fmt::format(
          "{}, ratio {:g}: needs {} retrained models with kept outputs, there are {}.", std::get<0>(place),
          std::get<1>(place), least, retrain == methods.end() ? 0 : retrain->second.models));
      continue;
    }
    for (const auto& [method, ensemble] : methods) {
      if (method == "retrain") continue;
      if (ensemble.models < least || !comparable(retrain->second, ensemble, "forget"))
        out.notes.push_back(fmt::format("{}, ratio {:g}: {} has {} of {} models with comparable outputs.",
                                        std::get<0>(place), std::get<1>(place), method, ensemble.models,
                                        ensemble.planned));
      else
        visit(std::get<0>(place), std::get<1>(place), method, retrain->second, ensemble);
    }
  }
}

StudyReport run_klom(const std::vector<StudySource>& sources, const StudyOptions&) {
  StudyReport out;
  std::map<std::string, std::size_t> skipped;
  const auto all = collect(sources, skipped);
  StudyTable table{
      "KLoM: KL divergence of margins, retrained from unlearned (0 = alike)",
      {{"data and model", "ratio", "method", "split", "mean", "median", "95th percentile", "models"}}};
  each_method(all, 2, out,
              [&](const auto& place, double ratio, const auto& method, const Ensemble& retrained,
                  const Ensemble& unlearned) {
                for (const auto& split : kSplits) {
                  if (!comparable(retrained, unlearned, split)) continue;
                  auto values = klom_of_samples(retrained, unlearned, split);
                  std::sort(values.begin(), values.end());
                  table.rows.push_back({place, fmt::format("{:g}", ratio), method, split,
                                        fmt::format("{:.3f}", stat::mean(values)),
                                        fmt::format("{:.3f}", stat::sorted_quantile(values, 0.5)),
                                        fmt::format("{:.3f}", stat::sorted_quantile(values, 0.95)),
                                        fmt::format("{}+{}", unlearned.models, retrained.models)});
                }
              });
  out.tables.push_back(std::move(table));
  out.notes.insert(
      out.notes.begin(),
      "20 bins over both ensembles' margins, clipped to [-100, 100]; the published protocol has 100 "
      "models of each kind. With few models even equal ensembles give values well above 0: compare "
      "methods with each other, at equal numbers of models.");
  add_notes(out, skipped);
  return out;
}

StudyReport run_lira(const std::vector<StudySource>& sources, const StudyOptions&) {
  StudyReport out;
  std::map<std::string, std::size_t> skipped;
  const auto all = collect(sources, skipped);
  StudyTable table{
      "U-LiRA: telling unlearned from retrained models by D_f (AUC and accuracy 50 % = not to be told apart)",
      {{"data and model", "ratio", "method", "AUC %", "accuracy %", "hits at 1 % false alarms, %",
        "models"}}};
  each_method(all, kLeastModels, out,
              [&](const auto& place, double ratio, const auto& method, const Ensemble& retrained,
                  const Ensemble& unlearned) {
                const Attack a = u_lira(retrained, unlearned);
                table.rows.push_back({place, fmt::format("{:g}", ratio), method, percent(a.auc),
                                      percent(a.accuracy), percent(a.hits_at_1_percent),
                                      fmt::format("{}+{}", unlearned.models, retrained.models)});
              });
  out.tables.push_back(std::move(table));
  out.notes.insert(
      out.notes.begin(),
      "Normal distributions of the margins, fitted without the attacked model. Few models make a weak "
      "attacker: 50 % is then no proof of forgetting.");
  add_notes(out, skipped);
  return out;
}

const RegisterStudy klom({"klom",
                          "KL divergence of margins between unlearned and retrained models (kept outputs)",
                          "Georgiev et al. 2024, E.1; EasyDUB 2026", run_klom});
const RegisterStudy lira({"ulira", "per-sample likelihood-ratio attack on unlearned models (kept outputs)",
                          "Hayes et al. 2024", run_lira});

}  // namespace ensembles
}  // namespace expunge::board
