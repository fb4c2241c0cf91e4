// Calibration, worst classes and likeness to retrain by hand.
#include <gtest/gtest.h>

#include <cmath>

#include "metrics/metric.hpp"
#include "tests/unit/metrics_golden.hpp"

namespace expunge::metrics {
namespace {

Outputs two_classes(const std::vector<std::pair<double, int>>& first_probability_and_label) {
  Outputs out;
  out.classes = 2;
  for (const auto& [p, label] : first_probability_and_label) {
    out.ids.push_back(out.size());
    out.labels.push_back(label);
    out.logits.push_back(static_cast<float>(std::log(p / (1 - p))));
    out.logits.push_back(0);
  }
  return out;
}

double value(const std::string& metric, const Inputs& in, const std::string& column) {
  for (const auto& v : find_metric(metric)->compute(in))
    if (v.column == column) return v.value;
  throw std::runtime_error("no column " + column);
}

TEST(Calibration, ByHand) {
  Inputs in;
  in.classes = 2;
  in.outputs["test"] = two_classes({{0.75, 0}, {0.75, 1}});  // one bin: |1 - 0.75 + 0 - 0.75| / 2
  EXPECT_NEAR(value("calibration", in, "ece_test"), 0.25, 1e-7);
  in.outputs["test"] = two_classes({{0.75, 0}, {0.61, 1}});  // two bins: (0.25 + 0.61) / 2
  EXPECT_NEAR(value("calibration", in, "ece_test"), 0.43, 1e-7);
  EXPECT_TRUE(std::isnan(value("calibration", in, "ece_forget")));
}

TEST(Groups, ByHand) {
  Inputs in;
  in.classes = 2;
  in.outputs["test"] =
      two_classes({{0.9, 0}, {0.9, 0}, {0.2, 0}, {0.1, 1}});  // class 0: 2 of 3, class 1: 1 of 1
  EXPECT_NEAR(value("groups", in, "worst_class_test"), 2.0 / 3, 1e-12);
  EXPECT_NEAR(value("groups", in, "class_spread_test"), 1.0 / 3, 1e-12);
  in.outputs["forget"] = two_classes({{0.9, 0}});  // a class without samples is left out
  EXPECT_EQ(value("groups", in, "class_spread_forget"), 0);
}

TEST(RetrainLikeness, ByHand) {
  Inputs in;
  in.classes = 2;
  in.outputs["forget"] = two_classes({{0.9, 0}, {0.2, 0}});
  in.outputs["retrain.forget"] = two_classes({{0.6, 0}, {0.4, 0}});
  EXPECT_NEAR(value("retrain_likeness", in, "retrain_variation"), (0.3 + 0.2) / 2, 1e-7);
  EXPECT_EQ(value("retrain_likeness", in, "retrain_agreement"), 1);
  const auto js = [](double p, double q) {
    const auto term = [](double a, double m) { return a * std::log2(a / m); };
    const double m = (p + q) / 2;
    return 0.5 * (term(p, m) + term(1 - p, 1 - m) + term(q, m) + term(1 - q, 1 - m));
  };
  EXPECT_NEAR(value("retrain_likeness", in, "retrain_js"), (js(0.9, 0.6) + js(0.2, 0.4)) / 2, 1e-7);
  // Losses 0.105, 1.609 against 0.511, 0.916: distance one half, p = 1 - 0 of two and two.
  EXPECT_EQ(value("retrain_likeness", in, "forget_ks"), 0.5);
  EXPECT_NEAR(value("retrain_likeness", in, "forget_quality"), 1, 1e-12);
  EXPECT_TRUE(std::isnan(value("retrain_likeness", in, "retrain_js_test")));
}

// scikit-learn's f1_score over the classes without the first.
TEST(F1, AsScikitLearn) {
  EXPUNGE_NEEDS_GOLDEN();
  for (const auto& entry : test::golden_block("f1").at("cases")) {
    const auto labels = entry.at("labels").get<std::vector<std::int64_t>>(),
               predictions = entry.at("predictions").get<std::vector<std::int64_t>>();
    Inputs in;
    in.classes = entry.at("num_classes").get<std::int64_t>();
    Outputs out{.ids = {}, .labels = labels, .logits = {}, .classes = in.classes};
    for (std::size_t i = 0; i < labels.size(); ++i) {
      out.ids.push_back(static_cast<std::int64_t>(i));
      for (std::int64_t k = 0; k < in.classes; ++k) out.logits.push_back(k == predictions[i] ? 1.0f : 0.0f);
    }
    in.outputs["test"] = out;
    EXPECT_NEAR(value("f1", in, "f1_micro_test"), entry.at("micro_without_class0").get<double>(), 1e-9)
        << entry.at("name");
    EXPECT_NEAR(value("f1", in, "f1_macro_test"), entry.at("macro_without_class0").get<double>(), 1e-9)
        << entry.at("name");
    EXPECT_TRUE(std::isnan(value("f1", in, "f1_micro_forget")));
  }
}

}  // namespace
}  // namespace expunge::metrics
