// Deletion requests that arrive one after another: state and cost by hand, the same bits on any number of
// ranks and after a stop in any request, for every method.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "tests/mpi/engine/conformance.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

constexpr std::size_t kColumns = 12;

double cell(const RequestsRun& run, std::size_t request, const std::string& column) {
  const auto at = std::find(kRequestColumns.begin(), kRequestColumns.end(), column) - kRequestColumns.begin();
  return run.table.at(request * kColumns + static_cast<std::size_t>(at));
}

TEST(Requests, CutWhatIsLeftFromPartToPart) {
  const auto requests = make_requests({{2, 5}, {0}, {7, 9}}, {0, 1, 2, 5, 6, 7, 9});
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].forget, (std::vector<std::int64_t>{2, 5}));
  EXPECT_EQ(requests[0].retain, (std::vector<std::int64_t>{0, 1, 6, 7, 9}));
  EXPECT_EQ(requests[1].retain, (std::vector<std::int64_t>{1, 6, 7, 9}));
  EXPECT_EQ(requests[2].retain, (std::vector<std::int64_t>{1, 6}));
}

// NegGrad on |theta - a|^2 / 2 walks away from each part by a factor of 1.1 a step, from where the part
// before left it.
TEST(Requests, CarryTheParametersOn) {
  Toy toy = quad_toy({{0, 3}, {2, 5}, {9, 9}}, {0, 1}, {2}, {2, 2});
  const auto requests = make_requests({{0}, {1}}, {0, 1, 2});
  RequestsRun run;
  const auto result = run_requested("neggrad", toy, requests, world(), run);
  const double growth = std::pow(1.1, 3), x1 = 0 + growth * 2, y1 = 3 + growth * (2 - 3),
               x2 = 2 + growth * (x1 - 2), y2 = 5 + growth * (y1 - 5);
  EXPECT_NEAR(result.values[0].item<double>(), x2, 1e-5);
  EXPECT_NEAR(result.values[1].item<double>(), y2, 1e-5);
  ASSERT_EQ(run.table.size(), 2 * kColumns);
  ASSERT_EQ(kRequestColumns.size(), kColumns);
  EXPECT_EQ(cell(run, 0, "request"), 1);
  EXPECT_EQ(cell(run, 1, "forget"), 1);
  EXPECT_EQ(cell(run, 0, "retain"), 2);
  EXPECT_EQ(cell(run, 1, "retain"), 1);
  EXPECT_EQ(cell(run, 1, "steps"), 3);
  EXPECT_EQ(cell(run, 1, "forget_accuracy"), 1);
  EXPECT_NEAR(cell(run, 0, "from_start"), std::hypot(x1 - 2, y1 - 2), 1e-5);
  EXPECT_NEAR(cell(run, 1, "from_start"), std::hypot(x2 - 2, y2 - 2), 1e-5);
  EXPECT_NEAR(cell(run, 1, "from_before"), std::hypot(x2 - x1, y2 - y1), 1e-5);
  EXPECT_EQ(run.report.steps, 6);
  EXPECT_EQ(run.report.history.size(), 6 * kHistoryColumns.size());
}

TEST(Requests, ShareOneBudget) {
  // Every pass costs one FLOP forward and none backward; three epochs of one sample fit the first request.
  Toy toy = quad_toy({{0, 3}, {2, 5}, {9, 9}}, {0, 1}, {2}, {2, 2});
  toy.cost = {1, 0};
  toy.budget_flops = 4;
  RequestsRun run;
  run_requested("neggrad", toy, make_requests({{0}, {1}}, {0, 1, 2}), world(), run);
  EXPECT_EQ(run.status, "budget");
  EXPECT_EQ(run.report.steps, 4);
  EXPECT_EQ(cell(run, 0, "flops"), 3);
  EXPECT_EQ(cell(run, 1, "flops"), 1);
}

TEST(Requests, OfOnePartAreAnOrdinaryRun) {
  const Toy toy = small_conv("scrub");
  RequestsRun run;
  std::vector<std::int64_t> train = toy.forget;
  train.insert(train.end(), toy.retain.begin(), toy.retain.end());
  const auto parts = run_requested("scrub", toy.with({{"schedule", "constant"}}),
                                   make_requests({toy.forget}, train), world(), run);
  const auto whole = run_method("scrub", toy.with({{"schedule", "constant"}}), world());
  EXPECT_EQ(parts.hash, whole.hash);
  EXPECT_EQ(run.report.history, whole.report.history);
}

torch::Tensor tensor_of(const ToyResult& result, const std::string& name) {
  for (std::size_t i = 0; i < result.layout.entries.size(); ++i)
    if (result.layout.entries[i].name == name) return result.layout.view_of(result.values, i);
  ADD_FAILURE() << "no tensor is called " << name;
  return {};
}

// [in + 1, out] of an adapter's map.
torch::Tensor map_of(const ToyResult& result, const std::string& which) {
  const std::string at = "unlearning_layer.hidden." + which;
  return torch::cat({tensor_of(result, at + ".weight").t(), tensor_of(result, at + ".bias").unsqueeze(0)}, 0)
      .to(torch::kDouble);
}

// EUL trains adapters of its own for each request, as a run on that part alone does, and leaves their fusion.
TEST(Requests, FuseTheAdaptersOfEul) {
  const Toy toy = mlp_toy(6, 12)
                      .with(small_options("eul"))
                      .with({{"epochs", 3}, {"lr", 0.05}, {"batch", 6}, {"schedule", "constant"}});
  std::vector<std::int64_t> train = toy.forget;
  train.insert(train.end(), toy.retain.begin(), toy.retain.end());
  const auto requests = make_requests({{0, 1, 2}, {3, 4, 5}}, train);
  RequestsRun run;
  const auto fused = run_requested("eul", toy, requests, world(), run);

  const auto base = toy.make();
  base->initialize(Rng(toy.seed, "start"));
  base->eval();
  torch::Tensor left[2], right[2];
  for (std::size_t j = 0; j < 2; ++j) {
    Toy part = toy;
    part.forget = requests[j].forget, part.retain = requests[j].retain;
    if (j == 1) part.run_seed = Rng(toy.seed, "request").bits(1);
    const auto own = run_method("eul", part, world());
    const torch::NoGradGuard no_grad;
    Batch b;
    toy.samples->load(part.forget, -1, b);
    const auto with_one = [](const torch::Tensor& x) {
      return torch::cat({x, torch::ones({x.size(0), 1}, torch::kDouble)}, 1);
    };
    const torch::Tensor down = map_of(own, "down"), up = map_of(own, "up"),
                        x = with_one(base->forward(b.inputs).at("pooled").to(torch::kDouble)),
                        inner = with_one(x.mm(down).relu());
    for (int m = 0; m < 2; ++m) {
      const torch::Tensor& in = m == 0 ? x : inner;
      const torch::Tensor products = in.t().mm(in),
                          gram = products + (1e-3 * products.diagonal().mean() + 1e-6) *
                                                torch::eye(in.size(1), torch::kDouble),
                          term = gram.mm(m == 0 ? down : up);
      left[m] = j == 0 ? gram : left[m] + gram;
      right[m] = j == 0 ? term : right[m] + term;
    }
  }
  EXPECT_GT(map_of(fused, "up").abs().max().item<double>(), 1e-3);
  for (int m = 0; m < 2; ++m) {
    // The normal equations: solutions differ where inputs hardly point.
    const torch::Tensor w = map_of(fused, m == 0 ? "down" : "up");
    EXPECT_LT((left[m].mm(w) - right[m]).abs().max().item<double>(),
              1e-4 * (1 + right[m].abs().max().item<double>()))
        << m;
  }
}

class InRequests : public testing::TestWithParam<std::string> {};

TEST_P(InRequests, HaveTheSameBitsOnAnyRanksAndAfterStopsInAnyOfThem) {
  const Toy toy = small_conv(GetParam(), 7, 12);
  std::vector<std::int64_t> train = toy.forget;
  train.insert(train.end(), toy.retain.begin(), toy.retain.end());
  auto requests = make_requests({{0, 3, 5}, {1, 2, 4, 6}}, train);
  for (auto& request : requests) request.steps = 100;  // planned: the learning rate stays well above 0
  RequestsRun single, many, last;
  const auto undisturbed = run_requested(GetParam(), toy, requests, alone(), single);
  EXPECT_EQ(run_requested(GetParam(), toy, requests, world(), many).hash, undisturbed.hash);
  std::optional<store::Checkpoint> checkpoint;
  ToyResult result;
  std::set<std::int64_t> sequences;
  int incarnations = 0;
  do {
    result = run_requested(GetParam(), toy, requests, ++incarnations % 2 ? world() : alone(), last, 2,
                           checkpoint ? &*checkpoint : nullptr);
    if (!result.interrupted) break;
    checkpoint = result.checkpoint;
    EXPECT_TRUE(sequences.empty() ||
                checkpoint->sequence > *sequences.rbegin());  // the newest one is told by it
    sequences.insert(checkpoint->sequence);
  } while (incarnations < 100);
  EXPECT_FALSE(result.interrupted);
  EXPECT_GT(incarnations, 1);
  EXPECT_EQ(result.hash, undisturbed.hash);
  EXPECT_EQ(last.report.history, single.report.history);
  EXPECT_EQ(last.report.ledger.student_forward, single.report.ledger.student_forward);
  ASSERT_EQ(last.table.size(), single.table.size());
  for (std::size_t i = 0; i < last.table.size(); ++i)
    if (kRequestColumns[i % kColumns] != "seconds") EXPECT_EQ(last.table[i], single.table[i]) << i;
}

INSTANTIATE_TEST_SUITE_P(Methods, InRequests, testing::ValuesIn(conforming_methods()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace expunge::test
