// Statistics against scipy, statsmodels and scikit-learn on fixed inputs: tests/golden/stat/statistics.json,
// made by make_statistics.py beside it.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "stat/aggregate.hpp"
#include "stat/bootstrap.hpp"
#include "stat/distributions.hpp"
#include "stat/ensembles.hpp"
#include "stat/intervals.hpp"
#include "stat/line.hpp"
#include "stat/ranking.hpp"
#include "stat/svm.hpp"
#include "stat/two_samples.hpp"
#include "stat/variance.hpp"

namespace expunge::stat {
namespace {

using nlohmann::json;
using Values = std::vector<double>;

json golden(const char* block) {
  static const json all = json::parse(std::ifstream(EXPUNGE_SOURCE_DIR "/tests/golden/stat/statistics.json"));
  return all.at(block);
}

std::vector<std::uint8_t> labels(const json& values) { return values.get<std::vector<std::uint8_t>>(); }

Values flat(const json& rows) {
  Values out;
  for (const auto& row : rows)
    for (const auto& v : row) out.push_back(v);
  return out;
}

void expect_near(double have, double want, double relative) {
  EXPECT_NEAR(have, want, relative * std::abs(want) + 1e-300);
}

TEST(StatisticsGolden, Distributions) {
  const json g = golden("distributions");
  for (const auto& r : g.at("normal")) {
    expect_near(normal_probability(r[0]), r[1], 1e-13);
    EXPECT_NEAR(normal_quantile(r[3]), r[2].get<double>(), 1e-9);
  }
  for (const auto& r : g.at("chi_squared")) expect_near(chi_squared_tail(r[0], r[1]), r[2], 1e-10);
  for (const auto& r : g.at("f")) expect_near(f_tail(r[0], r[1], r[2]), r[3], 1e-10);
  for (const auto& r : g.at("kolmogorov")) expect_near(kolmogorov_tail(r[0]), r[1], 1e-10);
}

TEST(StatisticsGolden, StudentAndBca) {
  const json g = golden("intervals");
  const Interval t = t_interval(g.at("values").get<Values>());
  EXPECT_NEAR(t.mean - t.half_width, g.at("t_low_high")[0].get<double>(), 1e-12);
  EXPECT_NEAR(t.mean + t.half_width, g.at("t_low_high")[1].get<double>(), 1e-12);
  const auto skewed = g.at("skewed").get<Values>();
  std::vector<std::uint32_t> table;
  for (const auto& r : g.at("resamples"))
    for (const auto& i : r) table.push_back(i);
  const Bounds given = bca_interval(skewed, 0.95, table);
  EXPECT_NEAR(given.low, g.at("bca")[0].get<double>(), 1e-10);
  EXPECT_NEAR(given.high, g.at("bca")[1].get<double>(), 1e-10);
  // Own resamples: within the Monte Carlo error of 20,000 of scipy's large run.
  const Bounds own = bca_interval(skewed, 0.95, 20000, Rng(3, "test"));
  const auto large = g.at("bca_scipy_200000");
  const double width = large[1].get<double>() - large[0].get<double>();
  EXPECT_NEAR(own.low, large[0].get<double>(), 0.02 * width);
  EXPECT_NEAR(own.high, large[1].get<double>(), 0.02 * width);
}

TEST(StatisticsGolden, FriedmanAndItsRanks) {
  for (const char* name : {"untied", "tied"}) {
    const json g = golden("friedman").at(name);
    const std::size_t methods = g.at("merits")[0].size();
    const Values merits = flat(g.at("merits"));
    const Values ranks = average_ranks(merits, methods);
    for (std::size_t m = 0; m < methods; ++m)
      EXPECT_NEAR(ranks[m], g.at("average_ranks")[m].get<double>(), 1e-12);
    const Friedman f = friedman(merits, methods);
    expect_near(f.statistic, g.at("statistic"), 1e-11);
    expect_near(f.p, g.at("p"), 1e-9);
    expect_near(f.f, g.at("f"), 1e-10);
    expect_near(f.f_p, g.at("f_p"), 1e-9);
  }
}

TEST(StatisticsGolden, PairedTests) {
  for (const auto& g : golden("paired")) {
    const auto d = g.at("differences").get<Values>();
    const SignedRank w = signed_rank(d);
    EXPECT_EQ(w.exact, g.at("exact").get<bool>());
    EXPECT_DOUBLE_EQ(w.statistic, g.at("statistic").get<double>());
    expect_near(w.p, g.at("p"), 1e-10);
    expect_near(paired_t(d), g.at("t_p"), 1e-10);
  }
}

TEST(StatisticsGolden, Holm) {
  for (const auto& g : golden("holm")) {
    const Values adjusted = holm(g.at("p").get<Values>());
    for (std::size_t i = 0; i < adjusted.size(); ++i)
      EXPECT_NEAR(adjusted[i], g.at("adjusted")[i].get<double>(), 1e-14);
  }
}

TEST(StatisticsGolden, Line) {
  const json g = golden("line");
  const Line line = fit_line(g.at("x").get<Values>(), g.at("y").get<Values>());
  expect_near(line.slope, g.at("slope"), 1e-11);
  expect_near(line.intercept, g.at("intercept"), 1e-11);
  expect_near(line.r2, g.at("r2"), 1e-11);
  expect_near(line.slope_error, g.at("slope_error"), 1e-9);
  expect_near(line.slope_half, g.at("slope_half"), 1e-9);
  expect_near(line.p, g.at("p"), 1e-8);
}

TEST(StatisticsGolden, KolmogorovSmirnov) {
  for (const auto& g : golden("kolmogorov_smirnov")) {
    const auto ks = kolmogorov_smirnov(g.at("a").get<Values>(), g.at("b").get<Values>());
    EXPECT_NEAR(ks.distance, g.at("distance").get<double>(), 1e-14);
    expect_near(ks.p, g.at("p"), 1e-9);
  }
}

TEST(StatisticsGolden, HarmonicMean) {
  for (const auto& g : golden("harmonic"))
    EXPECT_NEAR(harmonic_mean(g.at("values").get<Values>()), g.at("mean").get<double>(), 1e-14);
}

TEST(StatisticsGolden, VarianceComponents) {
  const json g = golden("variance");
  std::vector<Nested> rows;
  for (const auto& r : g.at("rows")) rows.push_back({r[0], r[1], r[2]});
  const auto v = variance_components(rows);
  expect_near(v.evaluation, g.at("evaluation"), 1e-9);
  expect_near(v.unlearning, g.at("unlearning"), 1e-9);
  expect_near(v.training, g.at("training"), 1e-9);
}

TEST(StatisticsGolden, SupportVectorMachines) {
  SvmOptions tight;
  tight.tolerance = 1e-6;
  for (const auto& g : golden("svm").at("one")) {
    const auto model = fit_svm(g.at("x").get<Values>(), 1, labels(g.at("positive")), tight);
    EXPECT_TRUE(model.converged);
    double dual = 0, share = 0;
    for (const double c : model.coefficients) dual += std::abs(c);
    EXPECT_NEAR(dual, g.at("dual").get<double>(), 2e-3 * dual);
    const auto probe = g.at("probe").get<Values>();
    for (std::size_t i = 0; i < probe.size(); ++i) {
      const double d = model.decision({&probe[i], 1});
      EXPECT_NEAR(d, g.at("decision")[i].get<double>(), 1e-3);
      share += d > 0;
    }
    EXPECT_DOUBLE_EQ(share / static_cast<double>(probe.size()), g.at("share").get<double>());
  }
  const json many = golden("svm").at("many");
  tight.c = 1.5;
  tight.gamma = 0.7;
  const Values x = flat(many.at("x"));
  const auto model = fit_svm(x, 3, labels(many.at("positive")), tight);
  for (std::size_t i = 0; i < x.size() / 3; ++i)
    EXPECT_NEAR(model.decision({&x[3 * i], 3}), many.at("decision")[i].get<double>(), 1e-4);
}

TEST(StatisticsGolden, PlattsSigmoid) {
  const json g = golden("sigmoid");
  const Sigmoid s = fit_sigmoid(g.at("decisions").get<Values>(), labels(g.at("positive")));
  EXPECT_NEAR(s.a, g.at("a").get<double>(), 1e-3);
  EXPECT_NEAR(s.b, g.at("b").get<double>(), 1e-3);
}

TEST(StatisticsGolden, Ensembles) {
  for (const auto& g : golden("klom"))
    EXPECT_NEAR(klom(g.at("retrained").get<Values>(), g.at("unlearned").get<Values>()),
                g.at("kl").get<double>(), 1e-10);
  const json g = golden("likelihood_ratios");
  const auto ratios = likelihood_ratios(g.at("unlearned").get<Values>(), g.at("retrained").get<Values>());
  for (std::size_t i = 0; i < ratios.unlearned.size(); ++i) {
    EXPECT_NEAR(ratios.unlearned[i], g.at("ratios_unlearned")[i].get<double>(), 1e-10);
    EXPECT_NEAR(ratios.retrained[i], g.at("ratios_retrained")[i].get<double>(), 1e-10);
  }
}

}  // namespace
}  // namespace expunge::stat
