// The graph that is left without D_f, by hand; the graph network against its formula on dense matrices.
#include <gtest/gtest.h>

#include "engine/graph_source.hpp"
#include "models/descriptor.hpp"
#include "tensor/flop_counter.hpp"
#include "tests/unit/fake_pairs.hpp"

namespace expunge {
namespace {

// 0-3 is forgotten; 0-2 (twice), 1-3, 1-4 and 5-6 stay; node 7 is alone.
data::FakePairs small_graph() {
  return {
      8,
      {{0, 3, 1, {5}}, {0, 2, 0, {6}}, {0, 2, 1, {6, 7}}, {1, 3, 1, {8}}, {1, 4, 0, {9}}, {5, 6, 0, {10}}},
      {{0, 4, 1, {11}}}};
}

TEST(GraphSource, KeepsNothingOfForgottenEdges) {
  const auto data = small_graph();
  const auto graph = make_graph(data, {0}, {1, 2, 3, 4, 5}, torch::kCPU);
  const torch::Tensor& x = graph.at("graph.features");
  ASSERT_EQ(x.sizes(), (std::vector<std::int64_t>{8, 64}));
  EXPECT_EQ(x.select(1, 5).abs().sum().item<float>(), 0);   // D_f's word
  EXPECT_EQ(x.select(1, 11).abs().sum().item<float>(), 0);  // the test side's
  EXPECT_NEAR(x[0][6].item<float>(), 2 / std::sqrt(5.0), 1e-6);
  EXPECT_NEAR(x[0][7].item<float>(), 1 / std::sqrt(5.0), 1e-6);
  EXPECT_TRUE(x[2].equal(x[0]));
  EXPECT_NEAR(x[1][8].item<float>(), 1 / std::sqrt(2.0), 1e-6);
  EXPECT_EQ(x[7].abs().sum().item<float>(), 0);
  // Self-loops and both directions of 0-2, 1-3, 1-4, 5-6, each once.
  EXPECT_EQ(graph.at("graph.source").numel(), 8 + 2 * 4);
  torch::Tensor a = torch::zeros({8, 8});
  for (std::int64_t e = 0; e < 16; ++e)
    a[graph.at("graph.target")[e].item<std::int64_t>()][graph.at("graph.source")[e].item<std::int64_t>()] +=
        graph.at("graph.weight")[e].item<float>();
  EXPECT_TRUE(a.equal(a.t()));
  EXPECT_NEAR(a[0][2].item<float>(), 0.5, 1e-6);                 // degrees 2 and 2
  EXPECT_NEAR(a[1][4].item<float>(), 1 / std::sqrt(6.0), 1e-6);  // 3 and 2
  EXPECT_EQ(a[0][3].item<float>(), 0);
  EXPECT_EQ(a[7][7].item<float>(), 1);
  EXPECT_TRUE(graph.at("graph.hops").equal(torch::tensor({0, 1, 1, 0, 2, 8, 8, 8}, torch::kLong)));
}

TEST(GraphSource, GivesEveryGrainTheGraph) {
  const auto data = small_graph();
  const GraphSource source(data, data::Side::kTest, make_graph(data, {}, {1, 3}, torch::kCPU), torch::kCPU);
  Batch b;
  source.load({0}, 3, b);
  EXPECT_TRUE(b.inputs.at("edge").equal(torch::tensor({{0, 4}}, torch::kLong)));
  EXPECT_EQ(b.labels[0].item<std::int64_t>(), 1);
  EXPECT_TRUE(b.inputs.at("graph.hops").equal(torch::full({8}, 8, torch::kLong)));  // nothing is forgotten
  b.ids = {0};
  const Batch one = rows_of(b, torch::tensor({0}, torch::kLong));
  EXPECT_EQ(one.inputs.at("graph.features").size(0), 8);
  EXPECT_EQ(one.inputs.at("edge").size(0), 1);
}

class Gcn : public testing::Test {
 protected:
  Gcn() {
    config_ = models::find_descriptor("gcn")->config("gcn", {.classes = 3, .vocabulary = 64, .nodes = 8});
    model_ = models::build(config_);
    model_->initialize(Rng(3, "init"));
    const GraphSource source(data_, data::Side::kTrain, make_graph(data_, {0}, {1, 2, 3, 4, 5}, torch::kCPU),
                             torch::kCPU);
    source.load({0, 2, 4}, -1, batch_);
  }
  const data::FakePairs data_ = small_graph();
  nlohmann::json config_;
  std::shared_ptr<models::Model> model_;
  Batch batch_;
};

TEST_F(Gcn, IsTheFormulaOfKipfAndWelling) {
  std::map<std::string, torch::Tensor> w;
  for (const auto& p : model_->named_parameters()) w[p.key()] = p.value().detach().to(torch::kDouble);
  torch::Tensor adjacent = torch::eye(8, torch::kDouble);
  for (auto [u, v] : {std::pair{0, 2}, {1, 3}, {1, 4}, {5, 6}}) adjacent[u][v] = adjacent[v][u] = 1;
  const torch::Tensor root = adjacent.sum(1).rsqrt().diag(), a = root.mm(adjacent).mm(root);
  const torch::Tensor x = batch_.inputs.at("graph.features").to(torch::kDouble);
  const torch::Tensor one = a.mm(x).mm(w.at("gcn.0.weight").t()) + w.at("gcn.0.bias"),
                      two = a.mm(one.relu()).mm(w.at("gcn.1.weight").t()) + w.at("gcn.1.bias");
  const torch::Tensor both = torch::cat(
      {two.index_select(0, torch::tensor({0, 0, 1})), two.index_select(0, torch::tensor({3, 2, 4}))}, 1);
  const torch::Tensor pooled = (both.mm(w.at("edge.weight").t()) + w.at("edge.bias")).relu();
  const torch::Tensor logits = pooled.mm(w.at("classifier.weight").t()) + w.at("classifier.bias");
  const auto out = model_->forward(batch_.inputs);
  EXPECT_TRUE(out.at("nodes.layer1").to(torch::kDouble).allclose(one, 1e-5, 1e-6));
  EXPECT_TRUE(out.at("nodes.layer2").to(torch::kDouble).allclose(two, 1e-5, 1e-6));
  EXPECT_TRUE(out.at("pooled").to(torch::kDouble).allclose(pooled, 1e-5, 1e-6));
  EXPECT_TRUE(out.at("logits").to(torch::kDouble).allclose(logits, 1e-5, 1e-6));
}

TEST_F(Gcn, CostsWhatIsCounted) {
  const auto& descriptor = *models::find_descriptor("gcn");
  const auto cost = descriptor.cost(config_, 0, 0);
  const tensor::FlopCounter counter;
  const torch::Tensor loss = model_->forward(batch_.inputs).at("logits").sum();
  const auto forward = static_cast<double>(counter.flops());
  loss.backward();
  EXPECT_EQ(forward, 3 * cost.forward + cost.pass_forward);
  EXPECT_EQ(static_cast<double>(counter.flops()) - forward, 3 * cost.backward + cost.pass_backward);
  EXPECT_EQ(models::in_grains(cost, 3).forward * 3, forward);
  std::int64_t parameters = 0;
  for (const auto& p : model_->parameters()) parameters += p.numel();
  EXPECT_EQ(descriptor.parameters(config_), parameters);
}

TEST_F(Gcn, TakesAdaptersThatChangeNothing) {
  const torch::Tensor before = model_->forward(batch_.inputs).at("logits");
  model_->insert_adapters("unlearning_layer", 3, Rng(1, "adapter"));
  EXPECT_TRUE(model_->forward(batch_.inputs).at("logits").equal(before));
}

}  // namespace
}  // namespace expunge
