// Deletion requests that arrive one after another: state and cost by hand, the same bits on any number of
// ranks and after a stop in any request, for every method.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "engine/requests.hpp"
#include "methods/runner_registry.hpp"
#include "tests/mpi/engine/conformance.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

constexpr std::size_t kColumns = 12;

struct Requested {
  std::string hash;
  torch::Tensor values;
  bool interrupted = false;
  store::Checkpoint checkpoint;  // of an interrupted run, on every rank
};

// Collective. A registered method on a toy whose D_f arrives in requests; measured accuracies are made up.
// `stop_after` > 0: a signal after so many steps. A forward pass costs one FLOP a sample, a backward pass
// none.
Requested run_requested(const std::string& method, const Toy& toy, const std::vector<Request>& requests,
                        comm::Communicator& comm, RequestsRun& run, std::int64_t stop_after = 0,
                        const store::Checkpoint* resume = nullptr, double budget = 0) {
  config::Diagnostics problems;
  const auto* runner = methods::find_runner(method);
  const auto make = [&] {
    auto model = toy.make();
    model->initialize(Rng(toy.seed, "start"));
    return model;
  };
  Requested out;
  Context::Setup s;
  s.comm = &comm;
  s.model = make();
  const auto trains = methods::prepare(method, toy.options, *s.model, toy.seed);
  s.parameters = std::make_shared<tensor::FlatParameters>(
      *s.model, torch::kCPU, [&](const std::string& name) { return !trains || trains(name); }, "trainer");
  s.make_model = [&] {
    auto model = make();
    methods::prepare(method, toy.options, *model, toy.seed);
    return model;
  };
  s.task = toy.task.get(), s.samples = toy.samples.get();
  s.unseen = toy.unseen;
  auto train_in = config::Reader::resolved("method." + method, toy.options, problems);
  s.train = runner->train(train_in);
  s.grain = toy.grain, s.seed = toy.seed;
  s.cost = {1, 0};
  s.budget_flops = budget;
  s.cell_id = "toy";
  std::int64_t asked = 0;
  s.poll = [&] { return ++asked == stop_after ? kPollStop : 0; };
  s.save = [&](const store::Checkpoint& c) { out.checkpoint = c; };
  if (resume) s.resume = *resume;
  RequestHooks hooks;
  hooks.program = [&](Context& ctx) {
    auto in = config::Reader::resolved("method." + method, toy.options, problems);
    return runner->run(in, ctx);
  };
  hooks.measure = [](std::size_t j) {
    const auto x = static_cast<double>(j);
    return Measured{x, x + 0.1, x + 0.2, x + 0.3};
  };
  const auto parameters = s.parameters;
  try {
    run = run_requests(std::move(s), requests, hooks);
  } catch (const Interrupted&) {
    out.interrupted = true;
    share(out.checkpoint, comm);
  }
  out.hash = parameters->hash();
  out.values = parameters->trainable.values.clone();
  return out;
}

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
  const Toy toy = quad_toy({{0, 3}, {2, 5}, {9, 9}}, {0, 1}, {2}, {2, 2});
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
  const Toy toy = quad_toy({{0, 3}, {2, 5}, {9, 9}}, {0, 1}, {2}, {2, 2});
  RequestsRun run;
  run_requested("neggrad", toy, make_requests({{0}, {1}}, {0, 1, 2}), world(), run, 0, nullptr, 4);
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
  Requested result;
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
