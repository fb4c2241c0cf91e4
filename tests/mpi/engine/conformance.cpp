#include "tests/mpi/engine/conformance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "models/torch/blocks.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {

using nlohmann::json;

json small_options(const std::string& method) {
  static const std::map<std::string, json> known = {
      {"unsir", {{"noise_steps", 3}, {"noise_items", 6}, {"retain_per_class", 4}}},
      {"kga", {{"helper_epochs", 1}, {"inner_step", 2}, {"retain_fraction", 1}, {"alpha", 1}}},
      {"erm_ktp", {{"erm_epochs", 2}}},
      {"influence", {{"samples", 5}}},
      {"rmu", {{"lr", 0.01}}},
      {"eul", {{"width", 3}}},
      {"gnndelete", {{"gradient", "together"}, {"lr", 0.01}}},
      {"dtd", {{"sigma", 0.01}}},
      {"l_codec",
       {{"perturbations", 12},
        {"deletion_batch", 2},
        {"max_units", 2},
        {"hessian_samples", 4},
        {"val_samples", 5},
        {"noise", false},
        {"val_gap_skip", 1}}}};
  const auto found = known.find(method);
  return found == known.end() ? json::object() : found->second;
}

namespace {

bool on_graphs(const std::string& method) {
  const auto& needs = methods::find_descriptor(method)->needs;
  return std::find(needs.begin(), needs.end(), methods::Need::kWholeEdges) != needs.end();
}

}  // namespace

Toy conv_for(const std::string& method, std::int64_t forget, std::int64_t retain, double dropout) {
  return on_graphs(method) ? graph_toy(forget, retain) : conv_toy(forget, retain, dropout);
}
Toy mlp_for(const std::string& method, std::int64_t forget, std::int64_t retain) {
  return on_graphs(method) ? graph_toy(forget, retain) : mlp_toy(forget, retain);
}

Toy small_conv(const std::string& method, std::int64_t forget, std::int64_t retain) {
  return conv_for(method, forget, retain, 0.25)
      .with({{"epochs", 2}, {"batch", 9}})
      .with(small_options(method));
}
Toy small_mlp(const std::string& method, std::int64_t forget, std::int64_t retain) {
  return mlp_for(method, forget, retain).with({{"epochs", 2}, {"batch", 8}}).with(small_options(method));
}

std::vector<std::string> conforming_methods() {
  std::vector<std::string> out;
  for (const auto& name : methods::descriptor_names())
    if (name.rfind("broken_", 0) != 0) out.push_back(name);
  return out;
}

void check_neggrad(const std::string& method) {
  // a_f = (1, 4): 1 + 1.1^3 (2 - 1) and 4 + 1.1^3 (2 - 4)
  const Toy toy = quad_toy({{0, 3}, {2, 5}, {9, 9}}, {0, 1}, {2}, {2, 2});
  const torch::Tensor t = run_method(method, toy, world()).values;
  EXPECT_NEAR(t[0].item<double>(), 2.331, 1e-6);
  EXPECT_NEAR(t[1].item<double>(), 4 - 2 * 1.331, 1e-6);
}

void check_scrub(const std::string& method) {
  // Two retain steps: in the second, where the student has left the original, L = 0.5 T^2 KL(original ||
  // student)
  // + loss, T = 2.
  const Toy toy = logit_toy(6, 4, {}).with({{"epochs", 2}, {"max_epochs", 0}, {"lr", 6}});
  const auto one = run_method(method, toy.with({{"epochs", 1}}), world()),
             two = run_method(method, toy, world());
  const torch::Tensor start = logit_rows(two.start, toy).to(torch::kDouble),
                      now = logit_rows(one.values, toy).to(torch::kDouble);
  const torch::Tensor t = at::log_softmax(start / 2, 1), s = at::log_softmax(now / 2, 1);
  const double kd = 4 * (t.exp() * (t - s)).sum(1).mean().item<double>();
  const torch::Tensor labels = toy.samples->labels();
  const double loss = -at::log_softmax(now, 1).gather(1, labels.unsqueeze(1)).mean().item<double>();
  ASSERT_GT(kd, 0.01);
  const double objective = two.report.history.at(kHistoryColumns.size() + 3);
  EXPECT_NEAR(objective, 0.5 * kd + loss, 1e-5);
}

void check_salun(const std::string& method) {
  // Gradients at (0, 0): first weight +1 and -1, second weight +0.4 and +0.4. Magnitudes first would select
  // the first one.
  const Toy toy =
      quad_toy({{-1, -0.4f}, {1, -0.4f}, {3, 3}}, {0, 1}, {2}, {0, 0}).with({{"rho", 0.5}, {"batch", 1}});
  const torch::Tensor t = run_method(method, toy, world()).values;
  EXPECT_EQ(t[0].item<float>(), 0);
  EXPECT_GT(t[1].item<double>(), 0.01);
}

namespace {

class Straight : public models::Model {  // logits = W x, W starts at 0
 public:
  Straight()
      : models::Model(json::object()),
        w_(register_module("w", std::make_shared<models::Linear>(2, 2, false))) {}
  models::Tensors forward(const models::Tensors& in) override {
    return {{"logits", w_->forward(in.at("x"))}};
  }
  void initialize(const Rng&) override {
    const torch::NoGradGuard no_grad;
    w_->weight.zero_();
  }

 private:
  std::shared_ptr<models::Linear> w_;
};

}  // namespace

void check_fisher(const std::string& method) {
  // Logistic regression at w = 0, x = (1, 2): F = (0.25, 1), whether one sample or eight share a batch; with
  // alpha 1e-6 the noise has deviations 0.002 and 0.001.
  for (std::int64_t copies : {1, 8}) {
    Toy toy;
    toy.make = [] { return std::make_shared<Straight>(); };
    toy.task = tasks::make_classification(2);
    toy.classes = 2;
    toy.samples = std::make_shared<Rows>("x", torch::tensor({{1.0f, 2.0f}}).repeat({copies, 1}),
                                         torch::arange(copies, torch::kLong).remainder(2));
    for (std::int64_t i = 0; i < copies; ++i) toy.retain.push_back(i);
    toy.options = {{"tensor_rules", false}};
    const auto result = run_method(method, toy, world());
    const Rng own = Rng(toy.seed, "fisher").sub("w.weight");
    for (std::int64_t i = 0; i < 4; ++i)
      EXPECT_NEAR(result.values[i].item<double>() / own.normal(static_cast<std::uint64_t>(i)),
                  i % 2 ? 0.001 : 0.002, 2e-8)
          << copies << " " << i;
  }
}

}  // namespace expunge::test
