// Methods with helper networks, and the engine's seams they stand on: terms apart, companions, gathered rows.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "tasks/entanglement.hpp"
#include "tests/mpi/engine/toys.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

using nlohmann::json;

TEST(Apart, MultipliesByTheDerivativeAtTheGlobalMean) {
  // Two grains with losses 0.1 and 0.9 and a gap of 0.4: |0.5 - 0.4| rises with both, on any number of ranks;
  // a sign taken grain by grain would cancel.
  const auto root = [](double x) { return static_cast<float>(std::sqrt(2 * x)); };
  const Toy toy = quad_toy({{-root(0.1), 0}, {-root(0.9), 0}}, {}, {0, 1}, {0, 0});
  for (const auto& [gap, sign] : {std::pair{0.4, 1.0}, {0.6, -1.0}}) {
    double seen = -1;
    EpochOptions options;
    options.apart = {{.term = "gap", .outer = [&, gap = gap](double mean) {
                        seen = mean;
                        return std::pair{std::fabs(mean - gap), mean > gap ? 1.0 : -1.0};
                      }}};
    const auto program = [&](Context& ctx) {
      const auto result = ctx.epoch(
          ctx.retain(),
          [&](const Batch& b) -> Terms {
            return {{.name = "gap", .loss = ctx.task().loss(ctx.student(b), b.labels)}};
          },
          options);
      EXPECT_NEAR(result.loss, 0.1, 1e-6);
      return Outcome::kFinished;
    };
    const auto result = run_program(program, toy, world());
    EXPECT_NEAR(seen, 0.5, 1e-6);
    EXPECT_NEAR((result.start[0] - result.values[0]).item<double>() / 0.1, sign * (root(0.1) + root(0.9)) / 2,
                1e-5);
  }
}

TEST(Apart, DividesByTheCountsOfTheWholeStep) {
  // Gradients -1, -2, -3 with counts 1, 2, 5: the sum over 8, beside an ordinary term (the plain mean).
  const Toy toy = quad_toy({{1, 0}, {2, 0}, {3, 0}}, {}, {0, 1, 2}, {0, 0});
  const auto result = run_program(
      [&](Context& ctx) {
        EpochOptions options;
        options.apart = {{.term = "tokens"}};
        ctx.epoch(
            ctx.retain(),
            [&](const Batch& b) -> Terms {
              const torch::Tensor loss = ctx.task().loss(ctx.student(b), b.labels);
              const torch::Tensor a = b.inputs.at("a").select(1, 0);
              const torch::Tensor count = at::where(a > 2.5, torch::full_like(a, 5), a);
              return {{.name = "tokens", .loss = loss, .weight = 2, .count = count},
                      {.name = "plain", .loss = loss}};
            },
            options);
        return Outcome::kFinished;
      },
      toy, world());
  EXPECT_NEAR((result.values[0] - result.start[0]).item<double>() / 0.1, 2 * 6.0 / 8 + 2, 1e-5);
}

TEST(Apart, CountsNeedABufferOfTheirOwn) {
  const Toy toy = quad_toy({{1, 0}}, {}, {0}, {0, 0});
  const Program program = [](Context& ctx) {
    ctx.epoch(ctx.retain(), [](const Batch& b) -> Terms {
      return {{.name = "x", .loss = b.is_forget, .count = b.is_forget}};
    });
    return Outcome::kFinished;
  };
  EXPECT_THROW(run_program(program, toy, alone()), InternalError);  // our own mistake: it ends the program
}

TEST(Gather, ReturnsRowsInTheOrderOfTheIds) {
  Toy toy = quad_toy({{0, 1}, {2, 3}, {4, 5}, {6, 7}, {8, 9}}, {0, 3}, {1, 2, 4}, {0, 0});
  toy.grain = 2;
  run_program(
      [&](Context& ctx) {
        const torch::Tensor rows =
            ctx.gather(ctx.of_ids("some", {4, 0, 3, 1}), [](const Batch& b) { return b.inputs.at("a"); });
        EXPECT_TRUE(rows.equal(torch::tensor({{8.0f, 9.0f}, {0.0f, 1.0f}, {6.0f, 7.0f}, {2.0f, 3.0f}})));
        EXPECT_EQ(ctx.gather(ctx.of_ids("none", {}), [](const Batch& b) { return b.labels; }).numel(), 0);
        const torch::Tensor g = ctx.gather_gradients(
            ctx.retain(),
            [&](const Batch& b) -> Terms {
              const torch::Tensor loss = ctx.task().loss(ctx.student(b), b.labels);
              return {{.name = "one", .loss = loss}, {.name = "two", .loss = loss * 2}};
            },
            torch::tensor({1}));
        EXPECT_TRUE(g.equal(torch::tensor({{-3.0f}, {-6.0f}, {-5.0f}, {-10.0f}, {-9.0f}, {-18.0f}})));
        return Outcome::kFinished;
      },
      toy, world());
}

TEST(Gather, EndsOnAllRanksWhenOneFails) {
  const Toy toy = quad_toy({{0, 1}, {2, 3}, {4, 5}, {6, 7}}, {}, {0, 1, 2, 3}, {0, 0});
  EXPECT_THROW(run_program(
                   [&](Context& ctx) {
                     ctx.gather(ctx.retain(), [](const Batch& b) -> torch::Tensor {
                       if (b.ids[0] == 3) throw DataError::corrupt("sample 3 is damaged");
                       return b.labels;
                     });
                     return Outcome::kFinished;
                   },
                   toy, world()),
               AgreedError);
}

// KGA.

TEST(Kga, AlignsTheStudentWithTheModelOfDf) {
  // Untrained helpers and no unseen samples: the gap is 0, so the gradient on D_f is p_student - p_helper;
  // one step takes all of D_r, where the divergence from the original starts at 0.
  const Toy toy = logit_toy(8, 4, {2, 3, 5}).with({{"helper_epochs", 0}, {"retain_fraction", 1}});
  const auto result = run_method("kga", toy, world());
  const auto helper = toy.make();
  helper->initialize(Rng(toy.seed, "kga.forget"));
  const torch::Tensor start = logit_rows(result.start, toy), moved = start - logit_rows(result.values, toy);
  const torch::Tensor p = at::softmax(start, 1), q = at::softmax(helper->parameters()[0].detach(), 1);
  for (auto i : toy.forget) {
    EXPECT_LT((moved[i] * 3 - (p[i] - q[i])).abs().max().item<double>(), 2e-6) << i;
    EXPECT_GT((p[i] - q[i]).abs().max().item<double>(), 1e-3);
  }
  for (auto i : toy.retain) EXPECT_LT(moved[i].abs().max().item<double>(), 1e-7) << i;
}

TEST(Kga, TurnsBackBelowTheGapOfUnseenData) {
  // With a gap larger than the student's distance the same step has the other sign.
  Toy toy =
      logit_toy(8, 4, {2, 3, 5}).with({{"helper_epochs", 0}, {"retain_fraction", 1}, {"stop_portion", 0}});
  toy.retain = {0, 1, 4};
  toy.unseen = {6, 7};
  const auto helper = toy.make(), unseen = toy.make();
  helper->initialize(Rng(toy.seed, "kga.forget"));
  unseen->initialize(Rng(toy.seed, "kga.unseen"));
  toy.start = torch::zeros_like(run_method("kga", toy.with({{"epochs", 0}}), alone()).start);
  torch::Tensor z = helper->parameters()[0].detach().clone();
  z.narrow(0, 2, 4) += 0.05 * torch::randn({4, 4});
  z[6] = torch::tensor({9.0f, -9.0f, 9.0f, -9.0f});  // far from any draw of the unseen model
  toy.start.narrow(0, 0, 32).copy_(z.flatten());
  const auto result = run_method("kga", toy, world());
  const torch::Tensor moved = logit_rows(result.start - result.values, toy);
  const torch::Tensor p = at::softmax(z, 1), q = at::softmax(helper->parameters()[0].detach(), 1);
  for (auto i : toy.forget) EXPECT_LT((moved[i] * 3 + (p[i] - q[i])).abs().max().item<double>(), 2e-6) << i;
}

TEST(Kga, TrainsItsHelpersOnTheirOwnData) {
  Toy toy = mlp_toy(6, 20).with({{"helper_epochs", 3}, {"batch", 4}});
  toy.samples->loaded.clear();
  run_method("kga", toy, alone());
  // The first three passes see D_f alone, the next three unseen samples alone.
  const std::size_t grains = 2 * 3;
  for (std::size_t g = 0; g < 2 * grains; ++g)
    for (auto id : toy.samples->loaded.at(g)) {
      if (g < grains) EXPECT_LT(id, 6);
      if (g >= grains) EXPECT_GE(id, 26);
    }
}

TEST(Kga, StopsWhenAligned) {
  const Toy toy = mlp_toy(6, 40).with(
      {{"helper_epochs", 0}, {"batch", 4}, {"inner_step", 1}, {"retain_fraction", 1}, {"stop_portion", 1}});
  EXPECT_EQ(run_method("kga", toy.with({{"stop_portion", 0}}), world()).report.steps, 10);
  EXPECT_LT(run_method("kga", toy, world()).report.steps, 10);
}

// ERM-KTP.

TEST(ErmKtp, RegulariserHasTheGoldenNumber) {
  EXPECT_NEAR(tasks::entanglement(torch::full({2, 2}, 0.5)).item<double>(), 1.65, 1e-6);  // G20
}

TEST(ErmKtp, ClipsEveryRowToAMaximumOfOne) {
  const torch::Tensor m = torch::tensor({{0.2f, 0.4f, -0.1f}, {3.0f, 1.5f, 0.0f}, {-1.0f, -2.0f, 0.0f}});
  tasks::clip_mask(m);
  EXPECT_TRUE(m.allclose(torch::tensor({{0.5f, 1.0f, 0.0f}, {1.0f, 0.5f, 0.0f}, {0.0f, 0.0f, 0.0f}})));
}

TEST(ErmKtp, KeepsChannelsThatNoForgottenClassUses) {
  const torch::Tensor m = torch::tensor({{0.0f, 1.0f, 0.2f}, {1.0f, 0.0f, 0.0f}, {0.0f, 0.0f, 1.0f}});
  EXPECT_TRUE(tasks::kept_channels(m, torch::tensor({1, 2}), 0).equal(torch::tensor({0.0f, 1.0f, 0.0f})));
  EXPECT_TRUE(tasks::kept_channels(m, torch::tensor({2}), 0.2).equal(torch::tensor({1.0f, 1.0f, 0.0f})));
}

TEST(ErmKtp, LeavesTheForgottenClassesWithoutAClassifier) {
  Toy toy = conv_toy(0, 30);
  toy.forget.clear(), toy.retain.clear();
  for (std::int64_t i = 0; i < 30; ++i) (i % 3 == 1 ? toy.forget : toy.retain).push_back(i);
  toy = toy.with({{"erm_epochs", 2}, {"epochs", 2}, {"batch", 10}, {"lr", 0.01}});
  const auto result = run_method("erm_ktp", toy, world());
  for (std::size_t i = 0; i < result.layout.entries.size(); ++i) {
    const auto& e = result.layout.entries[i];
    if (e.name.rfind("head", 0) != 0) continue;
    const torch::Tensor window = result.layout.view_of(result.values, i);
    EXPECT_EQ(window[1].abs().max().item<double>(), 0);  // the logit is 0 whatever the input
    EXPECT_GT(window[0].abs().max().item<double>(), 0);
    if (e.shape.size() == 2)  // at least one channel is kept, and not all
      EXPECT_EQ(window.abs().sum(0).gt(0).sum().item<std::int64_t>(), 1);
  }
}

TEST(ErmKtp, PullsFeaturesTowardsTheTeachers) {
  Toy toy = conv_toy(0, 30);
  toy.forget.clear(), toy.retain.clear();
  for (std::int64_t i = 0; i < 30; ++i) (i % 3 == 1 ? toy.forget : toy.retain).push_back(i);
  toy = toy.with({{"erm_epochs", 1}, {"epochs", 40}, {"batch", 20}, {"lr", 0.02}, {"schedule", "constant"}});
  const auto history = run_method("erm_ktp", toy, world()).report.history;
  const std::size_t columns = kHistoryColumns.size(), rows = history.size() / columns;
  EXPECT_LT(history[(rows - 1) * columns + 3], 0.7 * history[1 * columns + 3]);
}

// EUL.

TEST(Eul, AdaptersStartAsTheIdentityAndAreAllThatTrains) {
  for (const Toy& base : {conv_toy(6, 12), mlp_toy(6, 12)}) {
    const Toy toy = base.with({{"epochs", 0}});
    const auto still = run_method("eul", toy, world());
    const double with = mean_loss(toy, still.values, toy.retain, "eul"),
                 without = mean_loss(toy, {}, toy.retain);
    EXPECT_EQ(with, without);  // bit for bit
    const auto result = run_method("eul", toy.with({{"epochs", 3}, {"lr", 0.01}}), world());
    EXPECT_TRUE(result.frozen.equal(result.start_frozen));
    EXPECT_FALSE(result.values.equal(result.start));
    for (const auto& e : result.layout.entries) EXPECT_EQ(e.name.rfind("unlearning_layer.", 0), 0u) << e.name;
  }
}

TEST(Eul, BeginsWithTheTaskLossesAlone) {
  // The divergences are 0 at the identity: L = lambda loss(R) - gamma loss(F).
  const Toy toy = mlp_toy(6, 12).with({{"epochs", 1}, {"batch", 16}, {"lambda", 0.5}, {"gamma", 0.25}});
  const double objective_found = run_method("eul", toy, world()).report.history.at(3);
  EXPECT_NEAR(objective_found, 0.5 * mean_loss(toy, {}, toy.retain) - 0.25 * mean_loss(toy, {}, toy.forget),
              1e-5);
}

TEST(Eul, LeavesTheOriginalOnDfMoreThanOnDr) {
  const Toy toy = mlp_toy(20, 40).with({{"epochs", 8}, {"lr", 0.01}, {"batch", 20}});
  const auto result = run_method("eul", toy, world());
  EXPECT_GT(mean_loss(toy, result.values, toy.forget, "eul"), mean_loss(toy, {}, toy.forget));
  EXPECT_LT(mean_loss(toy, result.values, toy.retain, "eul"), mean_loss(toy, {}, toy.retain));
}

}  // namespace
}  // namespace expunge::test
