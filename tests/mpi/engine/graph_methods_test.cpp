// GNNDelete on a graph of four nodes, against its formulas written out on dense matrices, and on the toy
// graph.
#include <gtest/gtest.h>

#include "engine/graph_source.hpp"
#include "methods/runner_registry.hpp"
#include "models/descriptor.hpp"
#include "tests/mpi/engine/conformance.hpp"
#include "tests/mpi/support/mpi_main.hpp"
#include "tests/unit/fake_pairs.hpp"

namespace expunge::test {
namespace {

// D_f: the edge 0-3. D_r: 0-2 and 1-3. The only unconnected first and second node are 1 and 2, which are also
// the nodes one hop from D_f.
class FourNodes : public Rows {
 public:
  FourNodes()
      : Rows("edge", torch::zeros({3, 2}), torch::tensor({1, 0, 1}, torch::kLong)),
        data_(4, {{0, 3, 1, {5, 6}}, {0, 2, 0, {7, 8, 8}}, {1, 3, 1, {9, 7}}}),
        source_(data_, data::Side::kTrain, make_graph(data_, {0}, {1, 2}, torch::kCPU), torch::kCPU) {}
  void load(const std::vector<std::int64_t>& ids, std::int64_t pass, Batch& into) const override {
    source_.load(ids, pass, into);
  }

 private:
  data::FakePairs data_;
  GraphSource source_;
};

nlohmann::json small_config() {
  auto config = models::find_descriptor("gcn")->config("gcn", {.classes = 2, .vocabulary = 64, .nodes = 4});
  config.update({{"hidden_size", 3}, {"output_size", 2}, {"edge_size", 4}});
  return config;
}

Toy four_nodes(const std::string& gradient, double alpha) {
  Toy toy;
  toy.make = [] { return models::build(small_config()); };
  toy.task = tasks::make_classification(2);
  toy.classes = 2;
  toy.samples = std::make_shared<FourNodes>();
  toy.forget = {0}, toy.retain = {1, 2};
  toy.options = {{"optimizer", "sgd"}, {"lr", 0.5},
                 {"momentum", 0},      {"weight_decay", 0},
                 {"clip", 0},          {"epochs", 1},
                 {"batch", 4},         {"gradient", gradient},
                 {"alpha", alpha},     {"schedule", "constant"}};
  return toy;
}

// Matrices after one step, and the objective, from the paper's formulas.
struct Expected {
  torch::Tensor first, second;
  double objective;
};

Expected one_step(const Toy& toy, bool layerwise, double alpha) {
  const auto model = toy.make();
  model->initialize(Rng(toy.seed, "start"));
  std::map<std::string, torch::Tensor> w;
  for (const auto& p : model->named_parameters()) w[p.key()] = p.value().detach();
  // Words 7, 8, 8 are node 0's and 2's, 9, 7 node 1's and 3's; rows of norm 1. D_f's words 5 and 6 are gone.
  torch::Tensor x = torch::zeros({4, 64}), adjacent = torch::eye(4);
  for (int v : {0, 2}) x[v][7] = 1 / std::sqrt(5.0), x[v][8] = 2 / std::sqrt(5.0);
  for (int v : {1, 3}) x[v][9] = x[v][7] = 1 / std::sqrt(2.0);
  for (auto [u, v] : {std::pair{0, 2}, {1, 3}}) adjacent[u][v] = adjacent[v][u] = 1;
  const torch::Tensor a = adjacent / 2;  // every degree is 2, self-loops counted
  const auto convolve = [&](const torch::Tensor& h, const std::string& layer) {
    return a.mm(h.mm(w.at(layer + ".weight").t())) + w.at(layer + ".bias");
  };
  const torch::Tensor known1 = convolve(x, "gcn.0"), known2 = convolve(at::relu(known1), "gcn.1");
  Expected out{torch::eye(3).requires_grad_(true), torch::eye(2).requires_grad_(true), 0};
  const auto loss = [&](const torch::Tensor& now, const torch::Tensor& known) {
    const auto mse = [&](int v, int of) { return (now[v] - known[of]).square().mean(); };
    return alpha * (mse(0, 1) + mse(3, 2)) / 2 + (1 - alpha) * (mse(1, 1) + mse(2, 2)) / 2;
  };
  const torch::Tensor one = known1.mm(out.first.t());  // every node is within one hop
  const torch::Tensor two = convolve(at::relu(layerwise ? one.detach() : one), "gcn.1").mm(out.second.t());
  const torch::Tensor sum = loss(one, known1) + loss(two, known2);
  sum.backward();
  out.objective = sum.item<double>();
  const torch::NoGradGuard no_grad;
  out.first = out.first - 0.5 * out.first.grad();
  out.second = out.second - 0.5 * out.second.grad();
  return out;
}

torch::Tensor window(const ToyResult& result, const torch::Tensor& values, const std::string& name) {
  for (std::size_t i = 0; i < result.layout.entries.size(); ++i)
    if (result.layout.entries[i].name == name) return result.layout.view_of(values, i);
  ADD_FAILURE() << "no tensor is called " << name;
  return {};
}

TEST(GnnDelete, TakesTheStepOfItsFormulas) {
  for (const bool layerwise : {true, false}) {
    const Toy toy = four_nodes(layerwise ? "layerwise" : "together", 0.7);
    const auto result = run_method("gnndelete", toy, world());
    const Expected expected = one_step(toy, layerwise, 0.7);
    EXPECT_NEAR(result.report.history.at(3), expected.objective, 1e-6);
    EXPECT_GT(expected.objective, 1e-3);
    const torch::Tensor first = window(result, result.values, "deletion.layer1.weight"),
                        second = window(result, result.values, "deletion.layer2.weight");
    EXPECT_TRUE(first.allclose(expected.first, 1e-5, 1e-6)) << first << expected.first;
    EXPECT_TRUE(second.allclose(expected.second, 1e-5, 1e-6)) << second << expected.second;
    EXPECT_FALSE(first.equal(torch::eye(3)));
    EXPECT_EQ(result.layout.entries.size(), 2u);  // nothing else trains
  }
}

TEST(GnnDelete, StartsAsTheOriginalAndStaysThereWithoutForgetting) {
  const auto result = run_method("gnndelete", four_nodes("layerwise", 0).with({{"epochs", 5}}), world());
  for (std::size_t epoch = 0; epoch < 5; ++epoch)
    EXPECT_EQ(result.report.history.at(epoch * kHistoryColumns.size() + 3), 0);
  EXPECT_TRUE(result.values.equal(result.start));
  EXPECT_TRUE(window(result, result.start, "deletion.layer2.weight").equal(torch::eye(2)));
}

TEST(GnnDelete, LeavesNodesFarFromDfAlone) {
  const Toy toy = graph_toy(2, 14).with({{"epochs", 20}, {"lr", 0.05}});
  const auto result = run_method("gnndelete", toy, world());
  const auto before = toy.make(), after = toy.make();
  for (const auto& model : {before, after}) model->initialize(Rng(toy.seed, "start"));
  methods::prepare("gnndelete", toy.options, *after, toy.seed);
  const torch::NoGradGuard no_grad;
  for (auto& p : after->named_parameters())
    if (p.key().rfind("deletion.", 0) == 0) p.value().copy_(window(result, result.values, p.key()));
  Batch b;
  toy.samples->load({0}, -1, b);
  const auto old = before->forward(b.inputs), now = after->forward(b.inputs);
  const torch::Tensor& hops = b.inputs.at("graph.hops");
  for (const auto& [name, reach] : {std::pair{"nodes.layer1", 1}, {"nodes.layer2", 2}}) {
    // A node whose neighbours are beyond the reach of the layer before sees nothing of it.
    const torch::Tensor far = hops.gt(reach).nonzero().flatten(), near = hops.eq(0).nonzero().flatten();
    ASSERT_GT(far.numel(), 0);
    EXPECT_TRUE(old.at(name).index_select(0, far).equal(now.at(name).index_select(0, far))) << name;
    EXPECT_FALSE(old.at(name).index_select(0, near).equal(now.at(name).index_select(0, near))) << name;
  }
}

TEST(GnnDelete, MakesForgottenEdgesLookUnconnected) {
  Toy all = graph_toy(6, 60).with({{"epochs", 40}, {"lr", 0.02}, {"batch", 66}});
  all.retain.insert(all.retain.begin(), all.forget.begin(), all.forget.end());
  all.forget.clear();
  Toy toy = graph_toy(6, 60);
  toy.start = run_method("retrain", all, alone()).values;
  const auto result = run_method("gnndelete", toy, world());
  const std::size_t columns = kHistoryColumns.size();
  EXPECT_LT(result.report.history.at(199 * columns + 3), 0.8 * result.report.history.at(3));
}

}  // namespace
}  // namespace expunge::test
