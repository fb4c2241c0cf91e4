// Metrics of language models by hand: three numbers an answer.
#include <gtest/gtest.h>

#include <cmath>

#include "metrics/metric.hpp"
#include "metrics/scores.hpp"
#include "metrics/sums.hpp"

namespace expunge::metrics {
namespace {

// Losses, right tokens, tokens.
Outputs answers(std::vector<float> rows) {
  Outputs out;
  out.classes = 3, out.answers = true;
  out.logits = std::move(rows);
  for (std::size_t i = 0; i < out.logits.size() / 3; ++i)
    out.ids.push_back(static_cast<std::int64_t>(i)), out.labels.push_back(0);
  return out;
}

double value(const std::string& metric, const Inputs& in, const std::string& column) {
  for (const auto& [name, v] : find_metric(metric)->compute(in))
    if (name == column) return v;
  ADD_FAILURE() << column;
  return 0;
}

const float kLog2 = std::log(2.0f), kLog4 = std::log(4.0f);

TEST(Answers, AreSummedOverTokens) {
  const Sums s = split_sums(answers({kLog2, 3, 4, kLog4, 0, 2}));
  EXPECT_EQ(s.count, 6);
  EXPECT_EQ(s.correct, 3);
  EXPECT_EQ(s.classes, 0);
  EXPECT_NEAR(s.loss_sum, 4 * std::log(2.0) + 2 * std::log(4.0), 1e-6);
  EXPECT_DOUBLE_EQ(s.accuracy(), 0.5);
}

TEST(Answers, PerplexityAndProbability) {
  Inputs in;
  in.outputs["forget"] = answers({kLog2, 3, 4, kLog4, 0, 2});
  in.outputs["test"] = answers({kLog4, 1, 5});
  EXPECT_NEAR(value("answers", in, "perplexity_forget"), std::pow(2.0, 8.0 / 6), 1e-6);
  EXPECT_NEAR(value("answers", in, "answer_forget"), (0.5 + 0.25) / 2, 1e-7);
  EXPECT_NEAR(value("answers", in, "perplexity_test"), 4, 1e-6);
  EXPECT_TRUE(std::isnan(value("answers", in, "perplexity_retain")));
  EXPECT_NEAR(value("accuracy", in, "forget_accuracy"), 0.5, 1e-12);
}

TEST(Answers, RankByProbabilityAndAreAttackedByLoss) {
  Inputs in;
  in.outputs["retain"] = answers({0.1f, 5, 5, 0.2f, 5, 5, 0.3f, 5, 5, 0.4f, 5, 5});
  in.outputs["forget"] = answers({0.25f, 1, 5, 0.9f, 0, 5});
  // Pairs (retain, forget) ordered by exp(-loss): 2 of 4 above 0.25, 4 of 4 above 0.9.
  EXPECT_NEAR(value("auc", in, "auc_gold_prob"), 0.75, 0.05);
  EXPECT_TRUE(std::isnan(value("auc", in, "auc_class_prob")));
  EXPECT_EQ(entropy(in.get("forget")), (std::vector<double>{0.25f, 0.9f}));
  EXPECT_TRUE(std::isnan(value("zrf", in, "zrf")));
  EXPECT_TRUE(std::isnan(value("calibration", in, "ece_forget")));
  EXPECT_TRUE(std::isnan(value("overall", in, "overall")));
  in.outputs["retrain.forget"] = answers({0.2f, 1, 5, 0.8f, 0, 5});
  EXPECT_TRUE(std::isnan(value("retrain_likeness", in, "retrain_js")));
}

TEST(Answers, WithoutTokensOrFiniteLossesAreUndefined) {
  Inputs in;
  in.outputs["test"] = answers({0, 0, 0});
  EXPECT_TRUE(std::isnan(value("answers", in, "perplexity_test")));
  in.outputs["test"] = answers({NAN, 0, 4});
  EXPECT_TRUE(std::isnan(value("answers", in, "answer_test")));
  EXPECT_TRUE(std::isnan(split_sums(in.get("test")).accuracy()));
}

}  // namespace
}  // namespace expunge::metrics
