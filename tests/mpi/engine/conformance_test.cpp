// Numerical conformance of every registered method: the gradient that steps are taken with is that of the
// objective, the ledger is what LibTorch counts, bf16 stays near fp32. And the test of these tests:
// deliberately broken copies of methods are caught.
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "methods/runner_registry.hpp"
#include "models/torch/blocks.hpp"
#include "tensor/flop_counter.hpp"
#include "tests/mpi/engine/conformance.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

using nlohmann::json;

class Conformance : public testing::TestWithParam<std::string> {
 protected:
  const std::string& method() const { return GetParam(); }
};

// Moves all the step's values by `by` along the flat direction.
void shift(StepView& step, const torch::Tensor& direction, double by) {
  const torch::NoGradGuard no_grad;
  std::int64_t at = 0;
  for (auto& values : step.values) {
    values.add_(direction.narrow(0, at, values.numel()), by);
    at += values.numel();
  }
}

// Central differences of the objective along `direction`, against the gradient.
void expect_derivative(StepView& step, const torch::Tensor& direction, const std::string& what) {
  constexpr double kStep = 2e-3;
  std::vector<torch::Tensor> before;
  for (const auto& values : step.values) before.push_back(values.clone());
  shift(step, direction, kStep);
  const double up = step.objective();
  shift(step, direction, -2 * kStep);
  const double down = step.objective();
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < before.size(); ++i) step.values[i].copy_(before[i]);
  const double norm = step.gradient.norm().item<double>(),
               expected = step.gradient.dot(direction).item<double>();
  EXPECT_NEAR((up - down) / (2 * kStep), expected, 0.03 * norm + 3e-3) << what;
}

TEST_P(Conformance, StepsWithTheGradientOfItsObjective) {
  for (Toy toy : {small_mlp(method(), 11, 17), small_conv(method(), 11, 17)}) {
    int steps = 0;
    toy.inspect = [&](StepView& step) {
      if (++steps > 8) return;
      const double norm = step.gradient.norm().item<double>();
      if (norm < 1e-3) return;
      expect_derivative(step, step.gradient / norm, "along the gradient");
      torch::Tensor other = torch::zeros_like(step.gradient);
      const Rng rng(9, "direction");
      for (std::int64_t i = 0; i < other.numel(); ++i)
        if (step.gradient[i].item<float>() != 0) other[i] = rng.normal(static_cast<std::uint64_t>(i));
      expect_derivative(step, other / other.norm(), "in a random direction");
    };
    run_method(method(), toy, world());
    const auto phases = plan_of(method(), toy);
    const bool trains = std::any_of(phases.begin(), phases.end(), [](const auto& p) { return p.steps > 0; });
    EXPECT_EQ(steps > 0, trains);
  }
}

// FLOPs of one sample of a toy's forward and backward pass, as LibTorch runs them.
models::Cost measured_cost(const Toy& toy) {
  constexpr std::int64_t kSamples = 8;
  const auto model = toy.make();
  model->initialize(Rng(1, "cost"));
  model->eval();
  Batch b;
  toy.samples->load({0, 1, 2, 3, 4, 5, 6, 7}, -1, b);
  const tensor::FlopCounter counter;
  const torch::Tensor loss = toy.task->loss(model->forward(b.inputs), b.labels).sum();
  const double forward = static_cast<double>(counter.flops());
  loss.backward();
  const double all = static_cast<double>(counter.flops());
  return {forward / kSamples, (all - forward) / kSamples};
}

TEST_P(Conformance, CountsTheFlopsThatLibTorchRuns) {
  if (method() == "l_codec") GTEST_SKIP() << "it also solves a linear system, which the ledger leaves out";
  if (method() == "eul") GTEST_SKIP() << "its adapters are large beside the toy, and spare it most gradients";
  if (method() == "gnndelete") GTEST_SKIP() << "it trains small matrices: most gradients are spared";
  Toy toy = conv_toy(11, 17).with({{"epochs", 2}, {"batch", 9}}).with(small_options(method()));
  const models::Cost cost = measured_cost(toy);
  const tensor::FlopCounter counter;
  const auto report = run_method(method(), toy, alone()).report;
  const double counted = static_cast<double>(counter.flops()),
               planned = (report.ledger.student_forward + report.ledger.teacher_forward) * cost.forward +
                         report.ledger.student_backward * cost.backward;
  ASSERT_GT(planned, 0);
  EXPECT_NEAR(counted / planned, 1, 0.1);
}

TEST_P(Conformance, StaysNearFp32InBf16) {
  if (method() == "l_codec" || method() == "ssd") GTEST_SKIP() << "rounding changes which weights it selects";
  // Plain SGD: Adam would blow the rounding of vanishing gradients up to whole steps.
  const json plain = {
      {"optimizer", "sgd"}, {"lr", 0.05}, {"momentum", 0}, {"weight_decay", 0}, {"bn", "frozen"}};
  const Toy toy = mlp_for(method(), 12, 36)
                      .with({{"epochs", 3}, {"batch", 16}})
                      .with(small_options(method()))
                      .with(plain);
  const auto exact = run_method(method(), toy, world()),
             rough = run_method(method(), toy.with({{"precision", "bf16"}}), world());
  EXPECT_TRUE(rough.values.isfinite().all().item<bool>());
  const double moved = (exact.values - exact.start).norm().item<double>(),
               apart = (rough.values - exact.values).norm().item<double>();
  EXPECT_LT(apart, 0.1 * moved + 0.02 * exact.start.norm().item<double>());
}

INSTANTIATE_TEST_SUITE_P(Methods, Conformance, testing::ValuesIn(conforming_methods()),
                         [](const auto& info) { return info.param; });

// Broken copies. Each has the options of the method that it spoils.

config::TrainOptions plain_train(config::Reader& in) { return config::read_train_options(in, {}); }

void register_broken(const std::string& name, const methods::Runner& run) {
  methods::Descriptor d;
  d.name = "broken_" + name;
  const auto* whole = methods::find_descriptor(name);
  d.plan = whole->plan;
  const methods::RegisterDescriptor descriptor(d);
  const methods::RegisterRunner runner(d.name, run, methods::find_runner(name)->train);
}

Outcome rising_neggrad(config::Reader& in, Context& ctx) {
  const auto train = plain_train(in);
  for (std::int64_t epoch = 0; epoch < train.epochs; ++epoch)
    ctx.epoch(ctx.forget(), [&](const Batch& b) -> Terms {
      return {{.name = "forget", .loss = ctx.task().loss(ctx.student(b), b.labels), .weight = 1}};
    });
  return Outcome::kFinished;
}

Outcome reversed_scrub(config::Reader& in, Context& ctx) {
  const auto train = plain_train(in);
  const Teacher original = ctx.freeze();
  for (std::int64_t epoch = 0; epoch < train.epochs; ++epoch)
    ctx.epoch(ctx.retain(), [&](const Batch& b) -> Terms {
      const models::Tensors student = ctx.student(b);
      const torch::Tensor s = at::log_softmax(student.at("logits") / 2, 1),
                          t = at::log_softmax(original(b).at("logits") / 2, 1);
      return {{.name = "stay", .loss = (s.exp() * (s - t)).sum(1) * 4, .weight = 0.5},
              {.name = "retain", .loss = ctx.task().loss(student, b.labels)}};
    });
  return Outcome::kFinished;
}

Outcome absolute_salun(config::Reader& in, Context& ctx) {
  const auto train = plain_train(in);
  const LossFunction loss = [&](const Batch& b) -> Terms {
    return {{.name = "saliency", .loss = ctx.task().loss(ctx.student(b), b.labels)}};
  };
  const torch::Tensor sum = ctx.accumulate_squares(ctx.forget(), loss).sqrt();  // magnitudes first
  const auto kept = sum.argmax().item<std::int64_t>();
  const torch::Tensor start = ctx.values().clone();
  EpochOptions masked;
  masked.after_step = [&](torch::Tensor& values) {
    const torch::Tensor now = values[kept].clone();
    values.copy_(start);
    values[kept] = now;
  };
  for (std::int64_t epoch = 0; epoch < train.epochs; ++epoch)
    ctx.epoch(ctx.mix(ctx.forget(), ctx.retain()), loss, masked);
  return Outcome::kFinished;
}

Outcome summed_fisher(config::Reader&, Context& ctx) {
  // Squares of each batch's summed gradient.
  const torch::Tensor f =
      ctx.fold(
          ctx.retain(),
          [&](const Batch& b) -> Terms {
            return {{.name = "class", .loss = ctx.task().loss(ctx.student(b), b.labels)}};
          },
          torch::zeros_like(ctx.values()),
          [](torch::Tensor& sum, const torch::Tensor& g, std::int64_t) { sum.add_(g.square()); }) /
      static_cast<double>(size_of(ctx.retain()));
  ctx.update("noise", [&](torch::Tensor& values) {
    values.add_(ctx.noise("fisher") * ((f + 1e-8).reciprocal().clamp_max(1e3) * 1e-6).sqrt());
  });
  return Outcome::kFinished;
}

// What an expectation inside `body` reports, without failing this test.
int failures_in(const std::function<void()>& body) {
  testing::TestPartResultArray results;
  {
    testing::ScopedFakeTestPartResultReporter reporter(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
    body();
  }
  int failures = 0;
  for (int i = 0; i < results.size(); ++i) failures += results.GetTestPartResult(i).failed();
  return failures;
}

TEST(TestOfTheTests, BrokenCopiesAreCaught) {
  if (!methods::find_runner("broken_neggrad")) {
    register_broken("neggrad", rising_neggrad);
    register_broken("scrub", reversed_scrub);
    register_broken("salun", absolute_salun);
    register_broken("fisher", summed_fisher);
  }
  const std::map<std::string, void (*)(const std::string&)> checks = {
      {"neggrad", check_neggrad}, {"scrub", check_scrub}, {"salun", check_salun}, {"fisher", check_fisher}};
  for (const auto& [method, check] : checks) {
    EXPECT_EQ(failures_in([&, check = check, method = method] { check(method); }), 0) << method;
    EXPECT_GT(failures_in([&, check = check, method = method] { check("broken_" + method); }), 0) << method;
  }
}

class OneLayer : public models::Model {  // logits = W x, W starts at 0
 public:
  OneLayer()
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

// Lays adapters of this rank and alpha beside the linear layer "w".
using LayAdapters = std::function<void(models::Model&, std::int64_t rank, double alpha)>;

// Adapters count alpha / rank times.
void check_lora(const LayAdapters& lay) {
  // Logistic regression at W = 0, x = (1, 2), label 0: the gradient at the logits is (-0.5, 0.5). With rank 2
  // and alpha 6 the first step of B is -lr 3 (-0.5, 0.5)' (A x)', that of A is 0 because B is.
  Toy toy;
  toy.make = [&] {
    auto model = std::make_shared<OneLayer>();
    lay(*model, 2, 6);
    return model;
  };
  toy.task = tasks::make_classification(2);
  toy.classes = 2;
  toy.samples = std::make_shared<Rows>("x", torch::tensor({{1.0f, 2.0f}}), torch::zeros({1}, torch::kLong));
  toy.retain = {0};
  toy.trainable = [](const std::string& name) { return name.find("lora_") != std::string::npos; };
  toy.options = {{"optimizer", "sgd"}, {"lr", 0.1},   {"momentum", 0},          {"weight_decay", 0},
                 {"clip", 0},          {"epochs", 1}, {"schedule", "constant"}, {"batch", 1}};
  const auto result = run_method("finetune", toy, world());
  std::map<std::string, torch::Tensor> now;
  for (std::size_t i = 0; i < result.layout.entries.size(); ++i)
    now[result.layout.entries[i].name] = result.layout.view_of(result.values, i);
  const torch::Tensor a = now.at("w.lora_A"), b = now.at("w.lora_B");
  const torch::Tensor ax = a.mv(torch::tensor({1.0f, 2.0f}));
  ASSERT_GT(ax.abs().min().item<double>(), 1e-3);
  for (std::int64_t row = 0; row < 2; ++row)
    for (std::int64_t r = 0; r < 2; ++r)
      EXPECT_NEAR(b[row][r].item<double>(), -0.1 * 3 * (row == 0 ? -0.5 : 0.5) * ax[r].item<double>(), 1e-6);
}

TEST(TestOfTheTests, AWrongScaleOfAdaptersIsCaught) {
  const auto lay = [](models::Model& model, std::int64_t rank, double alpha) {
    models::add_adapters(model, {{"w", 2, 2}}, rank, alpha, 0, Rng(5, "lora"));
  };
  EXPECT_EQ(failures_in([&] { check_lora(lay); }), 0);
  // alpha instead of alpha / rank
  const auto broken = [&](models::Model& model, std::int64_t rank, double alpha) {
    lay(model, rank, alpha * static_cast<double>(rank));
  };
  EXPECT_GT(failures_in([&] { check_lora(broken); }), 0);
}

}  // namespace
}  // namespace expunge::test
