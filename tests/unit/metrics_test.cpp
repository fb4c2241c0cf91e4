#include "metrics/metric.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <set>

#include "core/error.hpp"
#include "core/rng.hpp"
#include "metrics/overall_score.hpp"
#include "metrics/scores.hpp"
#include "metrics/sums.hpp"
#include "stat/logistic.hpp"
#include "stat/rank.hpp"
#include "tests/unit/metrics_golden.hpp"

namespace expunge {
namespace {

using metrics::Inputs;
using metrics::Outputs;

constexpr float kBad = std::numeric_limits<float>::quiet_NaN();

Outputs outputs_of(std::int64_t classes, const std::vector<std::int64_t>& labels,
                   const std::vector<float>& logits) {
  Outputs out{.ids = {}, .labels = labels, .logits = logits, .classes = classes};
  for (std::size_t i = 0; i < labels.size(); ++i) out.ids.push_back(static_cast<std::int64_t>(10 + 3 * i));
  return out;
}

// n samples, the label's logit raised by about `margin` over unit noise.
Outputs noisy(std::int64_t n, std::int64_t classes, double margin, std::uint64_t seed) {
  const Rng rng(seed, "outputs");
  std::vector<std::int64_t> labels;
  std::vector<float> logits;
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(n); ++i) {
    labels.push_back(
        static_cast<std::int64_t>(rng.sub("label").below(static_cast<std::uint64_t>(classes), i)));
    for (std::int64_t k = 0; k < classes; ++k)
      logits.push_back(static_cast<float>(rng.normal(i, static_cast<std::uint64_t>(k)) +
                                          (k == labels.back() ? margin : 0)));
  }
  return outputs_of(classes, labels, logits);
}

Outputs shuffled(const Outputs& in, std::uint64_t seed) {
  Outputs out{.ids = {}, .labels = {}, .logits = {}, .classes = in.classes};
  for (const auto i : Rng(seed, "shuffle").permutation(in.size())) {
    out.ids.push_back(in.ids[static_cast<std::size_t>(i)]);
    out.labels.push_back(in.labels[static_cast<std::size_t>(i)]);
    out.logits.insert(out.logits.end(), in.row(i), in.row(i) + in.classes);
  }
  return out;
}

// A whole evaluation: every split of every model.
Inputs evaluation(std::int64_t classes = 4) {
  Inputs in{.outputs = {}, .method = "scrub", .classes = classes, .seed = 42, .original_test_accuracy = 0.8};
  in.outputs["test"] = noisy(500, classes, 2, 1);
  in.outputs["val"] = noisy(250, classes, 2, 2);
  in.outputs["forget"] = noisy(60, classes, 1.5, 3);
  in.outputs["retain"] = noisy(700, classes, 3, 4);
  in.outputs["original.test"] = noisy(500, classes, 2.2, 5);
  in.outputs["original.val"] = noisy(250, classes, 2.2, 6);
  in.outputs["original.forget"] = noisy(60, classes, 3.2, 7);
  in.outputs["original.retain"] = noisy(700, classes, 3.2, 8);
  in.outputs["test_sample"] = noisy(40, classes, 2, 9);
  in.outputs["transfer.shifted"] = noisy(300, classes, 1, 12);
  in.outputs["original.transfer.shifted"] = noisy(300, classes, 1.1, 13);
  in.outputs["retrain.forget"] = noisy(60, classes, 1.2, 10);
  in.outputs["retrain.test"] = noisy(500, classes, 2, 11);
  for (std::uint64_t k = 0; k < 5; ++k) {
    in.outputs["random." + std::to_string(k) + ".forget"] = noisy(60, classes, 0, 20 + k);
    in.outputs["random." + std::to_string(k) + ".test_sample"] = noisy(40, classes, 0, 30 + k);
  }
  in.unlearn_flops = 3e9;
  in.eval_flops = 1e9;
  in.retrain_flops = 12e9;
  in.relearn_passes = 3;
  return in;
}

std::map<std::string, double> compute(const std::string& metric, const Inputs& in) {
  std::map<std::string, double> values;
  for (const auto& [column, value] : metrics::find_metric(metric)->compute(in)) values[column] = value;
  return values;
}

std::map<std::string, double> compute_all(const Inputs& in) {
  std::map<std::string, double> values;
  for (const auto* metric : metrics::metrics())
    if (metric->name != "answers") values.merge(compute(metric->name, in));  // those are a language model's
  return values;
}

bool same_bits(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

TEST(Metrics, AreRegisteredUnderTheirNames) {
  EXPECT_EQ(metrics::metric_names(),
            (std::vector<std::string>{"accuracy", "answers", "auc", "calibration", "f1", "flops", "groups",
                                      "mia", "mia_svm", "overall", "relearn", "retrain_likeness", "time",
                                      "transfer", "zrf"}));
  EXPECT_EQ(metrics::find_metric("acuracy"), nullptr);
  EXPECT_TRUE(metrics::find_metric("zrf")->needs_random_networks);
  EXPECT_FALSE(metrics::find_metric("auc")->needs_random_networks);
  EXPECT_THROW(metrics::RegisterMetric(*metrics::find_metric("auc")), InternalError);
}

TEST(Metrics, ColumnsKeepTheirNames) {
  std::set<std::string> columns;
  for (const auto* metric : metrics::metrics())
    for (const auto& column : metric->columns) {
      EXPECT_TRUE(columns.insert(column.name).second) << column.name << " is declared twice";
      EXPECT_FALSE(column.title.empty() || column.help.empty()) << column.name;
    }
  EXPECT_EQ(columns, (std::set<std::string>{"test_accuracy",
                                            "forget_accuracy",
                                            "retain_accuracy",
                                            "val_accuracy",
                                            "auc_gold_prob",
                                            "auc_gold_prob_sd",
                                            "auc_correct",
                                            "auc_class_prob",
                                            "auc_down",
                                            "mia_success",
                                            "mia_false_positive",
                                            "mia_success_retain",
                                            "mia_success_confidence",
                                            "mia_ratio",
                                            "mia_ratio_retain",
                                            "zrf",
                                            "zrf_test",
                                            "zrf_mb",
                                            "overall",
                                            "overall_ungated",
                                            "unlearn_flops",
                                            "eval_flops",
                                            "percent_of_retrain",
                                            "ece_test",
                                            "ece_forget",
                                            "f1_micro_test",
                                            "f1_macro_test",
                                            "f1_micro_forget",
                                            "f1_micro_retain",
                                            "worst_class_test",
                                            "class_spread_test",
                                            "worst_class_retain",
                                            "class_spread_forget",
                                            "retrain_js",
                                            "retrain_js_test",
                                            "retrain_variation",
                                            "retrain_agreement",
                                            "retrain_agreement_test",
                                            "forget_quality",
                                            "forget_ks",
                                            "mia_svm_success",
                                            "mia_svm_false_positive",
                                            "mia_svm_success_retain",
                                            "mia_svm_ratio",
                                            "mia_svm_ratio_retain",
                                            "perplexity_test",
                                            "perplexity_forget",
                                            "perplexity_retain",
                                            "answer_test",
                                            "answer_forget",
                                            "answer_retain",
                                            "relearn_passes",
                                            "transfer_accuracy",
                                            "transfer_change",
                                            "transfer_robustness"}));
}

TEST(Metrics, GiveTheDeclaredColumnsInOrder) {
  for (const Inputs& in : {Inputs{}, evaluation()})
    for (const auto* metric : metrics::metrics()) {
      const auto values = metric->compute(in);
      ASSERT_EQ(values.size(), metric->columns.size()) << metric->name;
      for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i].column, metric->columns[i].name);
    }
}

TEST(Metrics, AreAllDefinedOnAWholeEvaluation) {
  for (const auto& [column, value] : compute_all(evaluation())) EXPECT_TRUE(std::isfinite(value)) << column;
}

// Four of four and two of four right there before, three and two after; here four of four before and after.
TEST(Transfer, ComparesWithTheOriginalByHand) {
  const auto right = [](int correct) {
    Outputs o{.ids = {0, 1, 2, 3}, .labels = {0, 0, 0, 0}, .logits = {}, .classes = 2};
    for (int i = 0; i < 4; ++i) o.logits.insert(o.logits.end(), {i < correct ? 1.f : -1.f, 0.f});
    return o;
  };
  Inputs in;
  in.outputs = {{"test", right(4)},       {"original.test", right(4)},
                {"transfer.a", right(3)}, {"original.transfer.a", right(4)},
                {"transfer.b", right(2)}, {"original.transfer.b", right(2)}};
  auto values = compute("transfer", in);
  EXPECT_DOUBLE_EQ(values.at("transfer_accuracy"), 0.625);
  EXPECT_DOUBLE_EQ(values.at("transfer_change"), -0.125);
  EXPECT_DOUBLE_EQ(values.at("transfer_robustness"), -0.125);
  in.outputs["test"] = right(3);  // lost as much here as there on average and more
  EXPECT_DOUBLE_EQ(compute("transfer", in).at("transfer_robustness"), 0.125);
}

TEST(Metrics, AbsentOutputsAreAnInternalError) {
  Inputs in;
  in.outputs["test"];
  try {
    in.get("tset");
    FAIL() << "no error";
  } catch (const InternalError& error) {
    EXPECT_STREQ(error.what(),
                 "a metric asked for the outputs \"tset\", which were not gathered (have: test)");
  }
}

TEST(Metrics, AreUndefinedOnEmptySplits) {
  Inputs in = evaluation();
  for (auto& [name, outputs] : in.outputs)
    outputs = Outputs{.ids = {}, .labels = {}, .logits = {}, .classes = 4};
  for (const Inputs& empty : {in, Inputs{}})
    for (const char* metric : {"accuracy", "auc", "mia", "zrf", "overall"})
      for (const auto& [column, value] : compute(metric, empty)) EXPECT_TRUE(std::isnan(value)) << column;
}

TEST(Metrics, AreUndefinedOnNonFiniteLogits) {
  for (const float bad :
       {kBad, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    Inputs in = evaluation();
    in.outputs["forget"].logits[7] = bad;
    const auto values = compute_all(in);
    for (const char* column :
         {"forget_accuracy", "auc_gold_prob", "auc_gold_prob_sd", "auc_correct", "auc_class_prob", "auc_down",
          "mia_success", "mia_ratio", "zrf", "zrf_mb", "overall", "overall_ungated"})
      EXPECT_TRUE(std::isnan(values.at(column))) << column << " with " << bad;
    for (const char* column : {"test_accuracy", "retain_accuracy", "zrf_test", "percent_of_retrain"})
      EXPECT_TRUE(std::isfinite(values.at(column))) << column << " with " << bad;
  }
}

TEST(Metrics, DoNotDependOnTheOrderOfSamples) {
  Inputs in = evaluation();
  const auto before = compute_all(in);
  for (auto& [name, outputs] : in.outputs) outputs = shuffled(outputs, 77);
  for (const auto& [column, value] : compute_all(in)) EXPECT_EQ(value, before.at(column)) << column;
}

TEST(Metrics, AreKeyedByTheSeed) {
  Inputs in = evaluation();
  const auto once = compute_all(in), again = compute_all(in);
  in.seed = 87;
  const auto other = compute_all(in);
  for (const auto& [column, value] : once) EXPECT_TRUE(same_bits(value, again.at(column))) << column;
  for (const char* column :
       {"auc_gold_prob", "auc_gold_prob_sd", "auc_correct", "mia_ratio", "mia_ratio_retain", "zrf_mb"})
    EXPECT_NE(once.at(column), other.at(column)) << column;
  for (const char* column : {"test_accuracy", "auc_class_prob", "zrf", "overall"})
    EXPECT_EQ(once.at(column), other.at(column)) << column;
}

TEST(Metrics, RefuseOutputsOfTheWrongShape) {
  Inputs in = evaluation();
  in.outputs["test"].logits.pop_back();
  EXPECT_THROW(compute("accuracy", in), InternalError);
  in = evaluation();
  in.outputs["retain"].labels[3] = 4;
  EXPECT_THROW(compute("auc", in), InternalError);
  in = evaluation();
  in.outputs["forget"].ids[3] = in.outputs["forget"].ids[2];
  EXPECT_THROW(compute("auc", in), InternalError);
}

TEST(Sums, ByHand) {
  // Predictions 0 (a tie, lowest class), 2, 1; labels 0, 2, 0.
  const auto sums = metrics::split_sums(outputs_of(3, {0, 2, 0}, {1, 1, 0, 0, 0, 5, 0, 2, 0}));
  EXPECT_EQ(sums.count, 3);
  EXPECT_EQ(sums.correct, 2);
  EXPECT_EQ(sums.confusion, (std::vector<std::int64_t>{1, 1, 0, 0, 0, 0, 0, 0, 1}));
  const double e = std::numbers::e;
  EXPECT_NEAR(sums.loss_sum, std::log(2 + 1 / e) + std::log(1 + 2 * std::exp(-5)) + std::log(2 + e * e),
              1e-12);
  EXPECT_DOUBLE_EQ(sums.accuracy(), 2.0 / 3);
}

TEST(Sums, ABrokenSampleHasNoPrediction) {
  const auto sums = metrics::split_sums(outputs_of(2, {0, 0, 1}, {1, 0, 1, kBad, 0, 1}));
  EXPECT_EQ(sums.count, 3);
  EXPECT_EQ(sums.correct, 2);
  EXPECT_EQ(sums.confusion, (std::vector<std::int64_t>{1, 0, 0, 1}));
  EXPECT_TRUE(std::isnan(sums.loss_sum));
  EXPECT_TRUE(std::isnan(sums.accuracy()));
}

TEST(Sums, LargeClassCountsKeepNoConfusion) {
  const auto sums = metrics::split_sums(noisy(5, 257, 50, 1));
  EXPECT_TRUE(sums.confusion.empty());
  EXPECT_EQ(sums.correct, 5);
  EXPECT_EQ(metrics::split_sums(noisy(5, 256, 50, 1)).confusion.size(), 65536u);
}

TEST(Accuracy, CountsEachSplit) {
  Inputs in{.outputs = {}, .method = "x", .classes = 2};
  in.outputs["test"] = outputs_of(2, {0, 1, 1, 1}, {1, 0, 0, 1, 0, 1, 5, 1});
  in.outputs["forget"] = outputs_of(2, {1, 1}, {2, 2, 0, 1});
  in.outputs["retain"] = outputs_of(2, {0}, {2, 2});
  const auto values = compute("accuracy", in);
  EXPECT_EQ(values.at("test_accuracy"), 0.75);
  EXPECT_EQ(values.at("forget_accuracy"), 0.5);
  EXPECT_EQ(values.at("retain_accuracy"), 1);
  EXPECT_TRUE(std::isnan(values.at("val_accuracy")));
}

TEST(AucMetric, CorrectnessKeepsTheAccuracyIdentity) {
  const Inputs in = evaluation();
  const auto accuracy = compute("accuracy", in), auc = compute("auc", in);
  // The subsets' deviation is near 0.5 sqrt(p (1-p) / 60) = 0.025; over 500 of them the mean has 0.0011.
  EXPECT_NEAR(auc.at("auc_correct"),
              0.5 + 0.5 * (accuracy.at("retain_accuracy") - accuracy.at("forget_accuracy")), 0.006);
  EXPECT_GT(auc.at("auc_gold_prob"), 0.5);
  EXPECT_EQ(auc.at("auc_down"), 1 - auc.at("auc_gold_prob"));
}

TEST(AucMetric, DrawsFiveHundredKeyedSubsets) {
  const Inputs in = evaluation();
  const auto expected = stat::resampled_auc(metrics::gold_probability(in.get("retain")),
                                            metrics::gold_probability(in.get("forget")), 500, Rng(42, "auc"));
  EXPECT_EQ(compute("auc", in).at("auc_gold_prob"), expected.mean);
  EXPECT_EQ(compute("auc", in).at("auc_gold_prob_sd"), expected.deviation);
}

TEST(AucMetric, IsExactWhereAllOfTheRetainSplitIsUsed) {
  Inputs in{.outputs = {}, .method = "x", .classes = 2, .seed = 1};
  // Correct: 7 of 10 retained, 4 of 10 deleted (G17).
  std::vector<float> retain, forget;
  for (int i = 0; i < 10; ++i) {
    retain.insert(retain.end(), {i < 7 ? 1.0f : -1.0f, 0.0f});
    forget.insert(forget.end(), {i < 4 ? 2.0f : -2.0f, 0.0f});
  }
  in.outputs["retain"] = outputs_of(2, std::vector<std::int64_t>(10, 0), retain);
  in.outputs["forget"] = outputs_of(2, std::vector<std::int64_t>(10, 0), forget);
  const auto values = compute("auc", in);
  EXPECT_NEAR(values.at("auc_correct"), 0.65, 1e-15);
  // p(label) of a correct deleted sample beats all retained: pairs won are those of the 6 wrong deleted ones.
  EXPECT_NEAR(values.at("auc_gold_prob"), 0.6, 1e-15);
  EXPECT_EQ(values.at("auc_gold_prob_sd"), 0);
  EXPECT_NEAR(values.at("auc_class_prob"), 0.4, 1e-15);
}

TEST(AucMetric, ClassProbabilityTakesFiveChunksInIdOrder) {
  for (const std::int64_t classes : {2, 3})
    for (const auto& [retained, chunks] : {std::pair{200, 5}, {75, 3}, {15, 1}}) {
      Inputs in{.outputs = {}, .method = "x", .classes = classes, .seed = 1};
      const Outputs retain = noisy(retained, classes, 1, 1), forget = noisy(20, classes, 1, 2);
      in.outputs["retain"] = retain;
      in.outputs["forget"] = forget;
      const std::int64_t size = std::min<std::int64_t>(retained, 20);
      double sum = 0, pairs = 0;
      for (std::int64_t k = classes == 2 ? 1 : 0; k < classes; ++k) {
        const auto p = [&](const Outputs& outputs, std::int64_t i) {
          double total = 0;
          for (std::int64_t j = 0; j < classes; ++j)
            total += std::exp(static_cast<double>(outputs.row(i)[j]));
          return std::exp(static_cast<double>(outputs.row(i)[k])) / total;
        };
        for (std::int64_t r = 0; r < chunks * size; ++r)
          for (std::int64_t f = 0; f < 20; ++f, ++pairs) sum += p(retain, r) > p(forget, f) ? 1 : 0;
      }
      EXPECT_NEAR(compute("auc", in).at("auc_class_prob"), sum / pairs, 1e-12)
          << classes << " classes, " << retained;
    }
}

// Confident where seen, uniform where not.
Outputs confident(std::int64_t n, std::uint64_t seed) { return noisy(n, 4, 40, seed); }
Outputs uniform(std::int64_t n, std::uint64_t seed) {
  Outputs out = noisy(n, 4, 0, seed);
  for (float& z : out.logits) z *= 0.01f;
  return out;
}

TEST(Mia, SeparableOutputsAreToldApart) {
  for (const bool validation : {true, false}) {
    Inputs in{.outputs = {}, .method = "x", .classes = 4, .seed = 3};
    in.outputs["retain"] = confident(600, 1);
    in.outputs["test"] = uniform(400, 2);
    if (validation) in.outputs["val"] = uniform(200, 3);
    in.outputs["forget"] = confident(50, 4);
    auto values = compute("mia", in);
    EXPECT_EQ(values.at("mia_success"), 1);
    EXPECT_EQ(values.at("mia_success_confidence"), 1);
    EXPECT_EQ(values.at("mia_false_positive"), 0);
    in.outputs["forget"] = uniform(50, 4);
    values = compute("mia", in);
    EXPECT_EQ(values.at("mia_success"), 0);
    EXPECT_EQ(values.at("mia_success_confidence"), 0);
    EXPECT_TRUE(std::isnan(values.at("mia_ratio"))) << "there is no original";
  }
}

TEST(Mia, AnUnchangedModelHasRatioExactlyOne) {
  Inputs in = evaluation();
  for (const char* split : {"test", "val", "forget", "retain"})
    in.outputs[split] = in.outputs["original." + std::string(split)];
  const auto values = compute("mia", in);
  EXPECT_EQ(values.at("mia_ratio"), 1);
  EXPECT_EQ(values.at("mia_ratio_retain"), 1);
}

TEST(Mia, EqualsADirectFitWhereNothingIsDrawn) {
  // As many retained as validation samples: the draws are whole sets.
  Inputs in = evaluation();
  in.outputs["retain"] = noisy(250, 4, 3, 4);
  in.outputs["original.retain"] = noisy(250, 4, 3.2, 8);
  in.outputs["forget"] = noisy(250, 4, 1, 3);
  in.outputs["original.forget"] = noisy(250, 4, 3.2, 7);
  const auto feature = [&](const std::string& split) { return metrics::entropy(in.get(split)); };
  const auto fit = [&](const std::string& prefix) {
    std::vector<double> x = feature(prefix + "retain");
    std::vector<std::uint8_t> member(500, 0);
    std::fill_n(member.begin(), 250, std::uint8_t{1});
    for (const double h : feature(prefix + "val")) x.push_back(h);
    return stat::fit_logistic(x, 1, member);
  };
  const auto attacker = fit(""), of_original = fit("original.");
  const auto share = [&](const std::string& split) {
    double members = 0;
    for (const double h : feature(split)) members += attacker.probability({&h, 1}) > 0.5;
    return members / static_cast<double>(in.get(split).size());
  };
  const auto mean = [&](const std::string& split) {
    double sum = 0;
    for (const double h : feature(split))
      sum += std::min(1.0, std::max(1e-3, of_original.probability({&h, 1})));
    return sum / static_cast<double>(in.get(split).size());
  };
  const auto values = compute("mia", in);
  EXPECT_EQ(values.at("mia_success"), share("forget"));
  EXPECT_EQ(values.at("mia_false_positive"), share("test"));
  EXPECT_NEAR(values.at("mia_ratio"), mean("original.forget") / mean("forget"), 1e-9);
  EXPECT_NEAR(values.at("mia_ratio_retain"), mean("original.retain") / mean("retain"), 1e-9);
  EXPECT_GT(values.at("mia_ratio"), values.at("mia_ratio_retain"));
}

TEST(Mia, WithoutValidationTestIsHalvedByKey) {
  Inputs in = evaluation();
  in.outputs["val"] = noisy(199, 4, 2, 2);  // too small to be used
  in.outputs["retain"] = noisy(250, 4, 3, 4);
  const auto test = metrics::entropy(in.get("test"));
  std::vector<double> x = metrics::entropy(in.get("retain")), held_out;
  std::vector<std::uint8_t> member(500, 0);
  std::fill_n(member.begin(), 250, std::uint8_t{1});
  for (const auto i : Rng(42, "mia").sub("halves").sample(500, 500)) {
    (x.size() < 500 ? x : held_out).push_back(test[static_cast<std::size_t>(i)]);
  }
  const auto attacker = stat::fit_logistic(x, 1, member);
  double members = 0;
  for (const double h : held_out) members += attacker.decision({&h, 1}) > 0;
  EXPECT_EQ(compute("mia", in).at("mia_false_positive"), members / 250);
  // One more validation sample: all of test is held out.
  in.outputs["val"] = noisy(200, 4, 2, 2);
  const double share = compute("mia", in).at("mia_false_positive") * 500;
  EXPECT_NEAR(share, std::round(share), 1e-9);
  EXPECT_NE(share / 500, members / 250);
}

TEST(Mia, ProbabilitiesAreClipped) {
  // A sharp attacker gives seen samples nearly 1 and unseen ones less than 1e-3, which counts as 1e-3.
  Inputs in{.outputs = {}, .method = "x", .classes = 4, .seed = 3};
  for (const char* prefix : {"", "original."}) {
    in.outputs[std::string(prefix) + "retain"] = confident(9000, 1);
    in.outputs[std::string(prefix) + "val"] = uniform(9000, 3);
  }
  in.outputs["original.forget"] = confident(50, 4);
  in.outputs["forget"] = uniform(50, 4);
  const double ratio = compute("mia", in).at("mia_ratio");
  EXPECT_GT(ratio, 990);
  EXPECT_LE(ratio, 1000);
}

TEST(Zrf, ByHand) {
  Inputs in{.outputs = {}, .method = "x", .classes = 2, .seed = 1};
  const auto log_odds = [](double p) { return static_cast<float>(std::log(p / (1 - p))); };
  in.outputs["forget"] = outputs_of(2, {0}, {log_odds(0.9), 0});
  in.outputs["random.0.forget"] = outputs_of(2, {0}, {3, 3});
  EXPECT_NEAR(compute("zrf", in).at("zrf"), 0.853206897564, 1e-7);  // G18; logits are floats
  EXPECT_TRUE(std::isnan(compute("zrf", in).at("zrf_test")));
  // A second network that agrees with the model halves the divergence.
  in.outputs["random.1.forget"] = in.outputs["forget"];
  EXPECT_NEAR(compute("zrf", in).at("zrf"), 1 - 0.146793102436 / 2, 1e-7);
  in.outputs["test_sample"] = in.outputs["forget"];
  in.outputs["random.0.test_sample"] = in.outputs["forget"];
  EXPECT_EQ(compute("zrf", in).at("zrf_test"), 1) << "p = q";
}

TEST(Zrf, MatchesScipy) {
  EXPUNGE_NEEDS_GOLDEN();
  const auto block = test::golden_block("divergence");
  const auto read = [](const nlohmann::json& rows) {
    std::vector<float> logits;
    for (const auto& row : rows)
      for (const auto& z : row) logits.push_back(z.get<float>());
    return outputs_of(static_cast<std::int64_t>(rows[0].size()), std::vector<std::int64_t>(rows.size(), 0),
                      logits);
  };
  Inputs in{.outputs = {}, .method = "x", .classes = 7, .seed = 1};
  in.outputs["forget"] = read(block.at("from_logits").at("student"));
  in.outputs["random.0.forget"] = read(block.at("from_logits").at("teacher"));
  EXPECT_NEAR(compute("zrf", in).at("zrf"), block.at("zrf").at("zrf_base_2").get<double>(), 1e-6);
}

TEST(Zrf, RefusesNetworksThatSawOtherSamples) {
  Inputs in = evaluation();
  in.outputs["random.2.forget"].ids.back() += 1;
  EXPECT_THROW(compute("zrf", in), InternalError);
}

// E over u, v in [0, 1)^2 of 1 - JS(p, softmax(u, v)), base e, by the midpoint rule; p = (p0, 1 - p0).
double expected_noise_zrf(double p0) {
  const int n = 400;
  double sum = 0;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      const double q0 = 1 / (1 + std::exp(static_cast<double>(j - i) / n)), q1 = 1 - q0, p1 = 1 - p0;
      const double m0 = (p0 + q0) / 2, m1 = (p1 + q1) / 2;
      sum += 0.5 * (p0 * std::log(p0 / m0) + p1 * std::log(p1 / m1) + q0 * std::log(q0 / m0) +
                    q1 * std::log(q1 / m1));
    }
  return 1 - sum / (n * n);
}

TEST(Zrf, NoiseFormMatchesItsIntegral) {
  for (const double p0 : {0.5, 0.9, 0.999}) {
    Inputs in{.outputs = {}, .method = "x", .classes = 2, .seed = 5};
    std::vector<float> logits;
    for (int i = 0; i < 200; ++i)
      logits.insert(logits.end(), {static_cast<float>(std::log(p0 / (1 - p0))), 0});
    in.outputs["forget"] = outputs_of(2, std::vector<std::int64_t>(200, 1), logits);
    // 100,000 draws of a quantity with deviation below 0.07.
    EXPECT_NEAR(compute("zrf", in).at("zrf_mb"), expected_noise_zrf(p0), 1e-3) << p0;
  }
}

TEST(Zrf, NoiseFormDrawsEveryClassAndSampleOnItsOwn) {
  // Eleven classes need two random blocks; the oracle draws 53-bit logits of its own.
  const std::int64_t classes = 11, n = 100;
  Inputs in{.outputs = {}, .method = "x", .classes = classes, .seed = 5};
  std::vector<float> logits(static_cast<std::size_t>(classes * n), 0);
  in.outputs["forget"] =
      outputs_of(classes, std::vector<std::int64_t>(static_cast<std::size_t>(n), 0), logits);
  const Rng rng(6, "oracle");
  double sum = 0;
  for (std::uint64_t draw = 0; draw < 20000; ++draw) {
    std::vector<double> q;
    double total = 0;
    for (std::uint64_t k = 0; k < 11; ++k) total += q.emplace_back(std::exp(rng.uniform(draw, k)));
    for (const double e : q) {
      const double p = 1 / 11.0, m = (p + e / total) / 2;
      sum += 0.5 * (p * std::log(p / m) + e / total * std::log(e / total / m));
    }
  }
  // The divergence is near 0.0092 with deviation 0.0027 for one draw: 2e-5 is its deviation over 20,000.
  EXPECT_NEAR(compute("zrf", in).at("zrf_mb"), 1 - sum / 20000, 1e-4);
}

TEST(Zrf, NoiseFormAveragesFiveHundredRepeats) {
  // One sample, p uniform over two classes; over seeds the value spreads by a draw's deviation / sqrt(500).
  Inputs in{.outputs = {}, .method = "x", .classes = 2};
  in.outputs["forget"] = outputs_of(2, {0}, {0, 0});
  const double mean = expected_noise_zrf(0.5);
  double squares = 0, draws = 0, draws_squared = 0;
  for (in.seed = 0; in.seed < 200; ++in.seed) squares += std::pow(compute("zrf", in).at("zrf_mb") - mean, 2);
  const Rng rng(6, "oracle");
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const double q = 1 / (1 + std::exp(rng.uniform(i, 0) - rng.uniform(i, 1))), a = (0.5 + q) / 2, b = 1 - a;
    const double js =
        0.5 * (0.5 * std::log(0.25 / (a * b)) + q * std::log(q / a) + (1 - q) * std::log((1 - q) / b));
    draws += js / 20000;
    draws_squared += js * js / 20000;
  }
  const double expected = (draws_squared - draws * draws) / 500;
  // The variance of 200 values is known to 10 %; 100 or 1000 repeats would be 5 or 0.5 times.
  EXPECT_NEAR(squares / 200 / expected, 1, 0.35);
}

TEST(Zrf, NoiseFormStaysInItsRange) {
  Inputs in{.outputs = {}, .method = "x", .classes = 1000, .seed = 5};
  in.outputs["forget"] = noisy(2, 1000, 500, 1);
  const double value = compute("zrf", in).at("zrf_mb");
  EXPECT_GT(value, 1 - std::numbers::ln2);
  EXPECT_LT(value, 0.32);
}

TEST(Overall, OfThePaperNumbers) {
  const auto score = metrics::overall_score(0.80, 0.8328, 0.10, 0.01, 0.2);
  EXPECT_NEAR(score.gated, 0.937728531856, 1e-12);  // G16
  EXPECT_EQ(score.gated, score.ungated);
  EXPECT_EQ(metrics::overall_score(0.83, 0.83, 0.5, 0.5, 0.2).gated, 1);
  EXPECT_TRUE(std::isnan(metrics::overall_score(0.5, 0, 0.5, 0.5, 0.2).gated));
}

TEST(Overall, MatchesTheReference) {
  EXPUNGE_NEEDS_GOLDEN();
  int number = 0;
  const auto cases = test::golden_block("harmonic_score").at("cases");
  ASSERT_EQ(cases.size(), 8u);
  for (const auto& c : cases) {
    const auto score = metrics::overall_score(c.at("dt"), c.at("dt_orig"), c.at("df"), c.at("random"),
                                              c.at("is_neggrad").get<bool>() ? 0.4 : 0.2);
    EXPECT_NEAR(score.ungated, c.at("ungated").get<double>(), 1e-12) << "case " << number;
    EXPECT_NEAR(score.gated, c.at("score").get<double>(), 1e-12) << "case " << number++;
  }
}

TEST(Overall, TheTestGateIsWiderForGradientAscent) {
  Inputs in{.outputs = {}, .method = "scrub", .classes = 2, .seed = 1, .original_test_accuracy = 0.9};
  in.outputs["test"] = outputs_of(2, {0, 0, 0, 0, 0}, {1, 0, 1, 0, 1, 0, 0, 1, 0, 1});  // 0.6, a third below
  in.outputs["forget"] = outputs_of(2, {0, 0}, {1, 0, 0, 1});                           // 0.5 = random
  const double ungated = 2 * 0.7 / 1.7;
  EXPECT_EQ(compute("overall", in).at("overall"), 0);
  EXPECT_NEAR(compute("overall", in).at("overall_ungated"), ungated, 1e-12);
  in.method = "neggrad_plus";
  EXPECT_EQ(compute("overall", in).at("overall"), 0);
  in.method = "neggrad";
  EXPECT_NEAR(compute("overall", in).at("overall"), ungated, 1e-12);
}

TEST(Flops, ShareOfRetraining) {
  Inputs in{.outputs = {}, .method = "x", .unlearn_flops = 3e9, .eval_flops = 1e9, .retrain_flops = 12e9};
  EXPECT_EQ(compute("flops", in).at("percent_of_retrain"), 0.25);
  EXPECT_EQ(compute("flops", in).at("unlearn_flops"), 3e9);
  EXPECT_EQ(compute("flops", in).at("eval_flops"), 1e9);
  in.retrain_flops = 0;
  EXPECT_TRUE(std::isnan(compute("flops", in).at("percent_of_retrain")));
}

}  // namespace
}  // namespace expunge
