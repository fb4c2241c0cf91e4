// Every method that is defined for language models, on a small one: what the other suites prove on images,
// proved here on texts. The methods that are refused there are refused by `check` (tests/unit).
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "tensor/flop_counter.hpp"
#include "tests/mpi/engine/conformance.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

using nlohmann::json;

std::vector<std::string> language_methods() {
  using methods::Need;
  std::vector<std::string> out;
  for (const auto& name : conforming_methods()) {
    const auto& needs = methods::find_descriptor(name)->needs;
    if (std::all_of(needs.begin(), needs.end(), [](Need need) {
          return need == Need::kTargets || need == Need::kPreferredAnswer || need == Need::kUnseen ||
                 need == Need::kHead;
        }))
      out.push_back(name);
  }
  return out;
}

class OnLanguage : public testing::TestWithParam<std::string> {
 protected:
  const std::string& method() const { return GetParam(); }
  Toy toy(std::int64_t forget = 5, std::int64_t retain = 13) const {
    return language_toy(forget, retain).with({{"epochs", 2}, {"batch", 9}}).with(small_options(method()));
  }
};

TEST_P(OnLanguage, GivesTheSameBitsOnAnyNumberOfRanks) {
  for (const Toy& t : {toy(), toy(9, 5)}) {
    const auto single = run_method(method(), t, alone()), many = run_method(method(), t, world());
    EXPECT_EQ(single.hash, many.hash);
    EXPECT_EQ(single.report.history, many.report.history);
    EXPECT_TRUE(many.values.isfinite().all().item<bool>());
    // ssd may find nothing to dampen; ul may stop before its first step.
    if (method() != "ssd") EXPECT_FALSE(single.values.equal(single.start));
  }
}

TEST_P(OnLanguage, ResumesBitForBitAfterEveryStep) {
  const Toy t = toy(11, 13);
  const auto undisturbed = run_method(method(), t, world());
  std::optional<store::Checkpoint> checkpoint;
  ToyResult last;
  int incarnations = 0;
  do {
    last = run_method(method(), t, ++incarnations % 2 ? world() : alone(), 1,
                      checkpoint ? &*checkpoint : nullptr);
    if (last.interrupted) checkpoint = last.checkpoint;
  } while (last.interrupted && incarnations < 100);
  EXPECT_GE(incarnations, 2);
  EXPECT_EQ(last.hash, undisturbed.hash);
  EXPECT_EQ(last.report.ledger.student_forward, undisturbed.report.ledger.student_forward);
}

TEST_P(OnLanguage, PlansExactlyWhatItDoes) {
  for (const auto& [forget, retain] : {std::pair{5, 13}, {11, 4}, {0, 9}}) {
    const Toy t = toy(forget, retain);
    methods::Phase total;
    for (const auto& phase : plan_of(method(), t)) {
      total.steps += phase.steps;
      total.forward += phase.forward, total.backward += phase.backward, total.teacher += phase.teacher;
    }
    const auto report = run_method(method(), t, world()).report;
    if (methods::find_descriptor(method())->stops_early) {
      EXPECT_LE(report.ledger.student_forward, total.forward);
      EXPECT_LE(report.ledger.student_backward, total.backward);
      continue;
    }
    EXPECT_EQ(report.steps, total.steps);
    EXPECT_EQ(report.ledger.student_forward, total.forward);
    EXPECT_EQ(report.ledger.student_backward, total.backward);
    EXPECT_EQ(report.ledger.teacher_forward, total.teacher);
  }
}

TEST_P(OnLanguage, CountsTheFlopsThatLibTorchRuns) {
  if (method() == "eul") GTEST_SKIP() << "its adapters spare the toy most gradients";
  if (method() == "rmu") GTEST_SKIP() << "it spares the head, which is large in the toy";
  const Toy t = toy();
  const models::Cost cost =
      models::find_by_model_type("llama")->cost(t.make()->config(), 1, 7);  // texts of seven tokens
  const tensor::FlopCounter counter;
  const auto report = run_method(method(), t, alone()).report;
  const double counted = static_cast<double>(counter.flops()),
               planned = (report.ledger.student_forward + report.ledger.teacher_forward) * cost.forward +
                         report.ledger.student_backward * cost.backward;
  EXPECT_NEAR(counted / planned, 1, 0.01);
}

TEST_P(OnLanguage, StepsWithTheGradientOfItsObjective) {
  Toy t = toy(11, 17);
  int steps = 0;
  t.inspect = [&](StepView& step) {
    if (++steps > 4) return;
    const double norm = step.gradient.norm().item<double>();
    if (norm < 1e-2) return;
    const torch::NoGradGuard no_grad;
    constexpr double kStep = 2e-3;
    const torch::Tensor direction = step.gradient / norm;
    std::vector<torch::Tensor> before;
    for (const auto& values : step.values) before.push_back(values.clone());
    const auto objective_at = [&](double by) {
      std::int64_t at = 0;
      for (std::size_t i = 0; i < before.size(); ++i) {
        step.values[i].copy_(before[i] + direction.narrow(0, at, before[i].numel()) * by);
        at += before[i].numel();
      }
      const torch::AutoGradMode with_grad(true);
      return step.objective();
    };
    const double slope = (objective_at(kStep) - objective_at(-kStep)) / (2 * kStep);
    objective_at(0);
    EXPECT_NEAR(slope, norm, 0.05 * norm + 3e-3);
  };
  run_method(method(), t, world());
}

INSTANTIATE_TEST_SUITE_P(Methods, OnLanguage, testing::ValuesIn(language_methods()),
                         [](const auto& info) { return info.param; });

TEST(Language, GenerationMethodsAreAllHere) {
  const auto all = language_methods();
  for (const char* name :
       {"npo", "dpo", "undial", "rmu", "ul", "delete", "rand_label", "salun", "scrub", "bad_t", "kga", "eul",
        "fisher", "ssd", "neggrad", "neggrad_plus", "l1_sparse", "influence"})
    EXPECT_TRUE(std::count(all.begin(), all.end(), name)) << name;
  for (const char* name : {"unsir", "erm_ktp", "multidelete", "l_codec"})
    EXPECT_FALSE(std::count(all.begin(), all.end(), name)) << name;
}

// At theta0: npo's gradient is that of gradient ascent on the summed likelihood, dpo's loss is ln 2 and its
// gradient (beta / 2) (grad nll(preferred) - grad nll(own)).
TEST(Language, PreferenceLossesAtTheStart) {
  const json one = {{"epochs", 1},   {"batch", 64},        {"alpha", 0},
                    {"clip", 0},     {"optimizer", "sgd"}, {"lr", 1},
                    {"momentum", 0}, {"weight_decay", 0},  {"schedule", "constant"}};
  const auto gradient_of = [&](const Program& program, const Toy& t) {
    const auto r = run_program(program, t, world());
    return r.start - r.values;
  };
  const Toy t = language_toy(6, 5).with(one);
  Toy plain = t;
  plain.options.erase("alpha");
  const auto ascent = gradient_of(
      [](Context& ctx) {
        ctx.epoch(ctx.forget(), [&](const Batch& b) -> Terms {
          return {{"up", ctx.task().negative_log_likelihood(ctx.student(b), b.labels), -1}};
        });
        return Outcome::kFinished;
      },
      plain);
  const auto npo = run_method("npo", t, world());
  EXPECT_NEAR((npo.start - npo.values - ascent).norm().item<double>(), 0,
              2e-5 * ascent.norm().item<double>() + 1e-6);
  EXPECT_NEAR(npo.report.history.at(3), 2 / 0.1 * std::log(2.0), 1e-4);

  const auto contrast = gradient_of(
      [](Context& ctx) {
        ctx.epoch(ctx.forget(), [&](const Batch& b) -> Terms {
          const Batch better = ctx.preferred(b, true);
          return {{"own", ctx.task().negative_log_likelihood(ctx.student(b), b.labels), -0.05},
                  {"other", ctx.task().negative_log_likelihood(ctx.student(better), better.labels), 0.05}};
        });
        return Outcome::kFinished;
      },
      plain);
  const auto dpo = run_method("dpo", t, world());
  EXPECT_NEAR(dpo.report.history.at(3), std::log(2.0), 1e-5);
  EXPECT_NEAR((dpo.start - dpo.values - contrast).norm().item<double>(), 0,
              2e-5 * contrast.norm().item<double>() + 1e-6);
}

// Squares from the layers (embedding, norms, heads) against one pass a sample.
TEST(Language, PerSampleSquaresEqualSinglePasses) {
  const Toy t = language_toy(6, 5);
  const auto squares_of = [&](bool by_layer) {
    torch::Tensor out;
    run_program(
        [&](Context& ctx) {
          const auto loss = [&](const Batch& b) -> Terms {
            return {{"loss", ctx.task().loss(ctx.student(b), b.labels)}};
          };
          if (by_layer) {
            out = ctx.accumulate_squares(ctx.forget(), loss);
          } else {
            out = torch::zeros_like(ctx.values());
            for (std::int64_t id = 0; id < 6; ++id)
              out += ctx.accumulate(ctx.of_ids("one" + std::to_string(id), {id}), loss).square();
          }
          return Outcome::kFinished;
        },
        t, world());
    return out;
  };
  const torch::Tensor layers = squares_of(true), single = squares_of(false);
  EXPECT_GT(single.max().item<double>(), 1e-4);
  EXPECT_LT((layers - single).abs().max().item<double>(), 1e-5 * single.max().item<double>() + 1e-9);
}

}  // namespace
}  // namespace expunge::test
