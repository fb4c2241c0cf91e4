// Methods that change the weights once, from curvature or a formula, against independent computations.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "methods/noise_scale.hpp"
#include "models/descriptor.hpp"
#include "tests/mpi/engine/conformance.hpp"
#include "tests/mpi/engine/family_toys.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

using nlohmann::json;

// The toy's model with its starting values, in eval mode, on its own.
std::shared_ptr<models::Model> fresh(const Toy& toy) {
  auto model = toy.make();
  model->initialize(Rng(toy.seed, "start"));
  model->eval();
  return model;
}

// Gradient of one sample's loss for these targets, in the order of registration, without padding.
torch::Tensor gradient_of(models::Model& model, const Toy& toy, std::int64_t id,
                          const torch::Tensor& target) {
  Batch b;
  toy.samples->load({id}, -1, b);
  model.zero_grad();
  toy.task->loss(model.forward(b.inputs), target).sum().backward();
  std::vector<torch::Tensor> parts;
  for (auto& p : model.parameters()) parts.push_back(p.grad().flatten().to(torch::kDouble).clone());
  return torch::cat(parts);
}

torch::Tensor own_gradient(models::Model& model, const Toy& toy, std::int64_t id) {
  return gradient_of(model, toy, id, toy.samples->labels().narrow(0, id, 1));
}

// A flat buffer without its padding.
torch::Tensor packed(const tensor::FlatBuffer& layout, const torch::Tensor& flat) {
  std::vector<torch::Tensor> parts;
  for (std::size_t i = 0; i < layout.entries.size(); ++i)
    parts.push_back(layout.view_of(flat, i).flatten().to(torch::kDouble));
  return torch::cat(parts);
}

double relative(const torch::Tensor& a, const torch::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

// Per-sample squares.

torch::Tensor squares_by_engine(const Toy& toy, tensor::FlatBuffer* layout = nullptr) {
  torch::Tensor out;
  const auto result = run_program(
      [&](Context& ctx) {
        out = ctx.accumulate_squares(ctx.retain(), [&](const Batch& b) -> Terms {
          return {{.name = "loss", .loss = ctx.task().loss(ctx.student(b), b.labels)}};
        });
        return Outcome::kFinished;
      },
      toy, world());
  if (layout) *layout = result.layout;
  return packed(result.layout, out);
}

torch::Tensor squares_by_hand(const Toy& toy) {
  const auto model = fresh(toy);
  torch::Tensor sum;
  for (auto id : toy.retain) {
    const torch::Tensor g = own_gradient(*model, toy, id).square();
    sum = sum.defined() ? sum + g : g;
  }
  return sum;
}

TEST(PerSampleSquares, EqualOnePassASample) {
  for (const Toy& toy : {conv_toy(0, 11), mlp_toy(0, 11), logit_toy(9, 4, {})}) {
    const torch::Tensor by_hand = squares_by_hand(toy);
    EXPECT_LT(relative(squares_by_engine(toy), by_hand), 1e-5);
    EXPECT_LT(relative(squares_by_engine(toy.with({{"batch", 3}})), by_hand), 1e-5);
  }
}

// Single places of the parameters that `wanted` names: flat, and where they stand without padding.
std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>> places_of(
    const tensor::FlatBuffer& layout, const std::function<bool(const std::string&)>& wanted) {
  std::vector<std::int64_t> flat, packed;
  std::int64_t before = 0;
  for (const auto& e : layout.entries) {
    for (const std::int64_t at : {e.numel - 1, e.numel / 2})  // not ascending
      if (wanted(e.name)) flat.push_back(e.offset + at), packed.push_back(before + at);
    before += e.numel;
  }
  return {flat, packed};
}

TEST(GatheredGradients, EqualOnePassASample) {
  const auto of_layers = [](const std::string& name) { return name.find("bn") == std::string::npos; };
  const auto of_all = [](const std::string&) { return true; };  // BatchNorm's: a pass of its own a sample
  for (const Toy& toy : {conv_toy(0, 11), mlp_toy(0, 11)})
    for (const std::function<bool(const std::string&)>& wanted :
         {std::function(of_layers), std::function(of_all)}) {
      torch::Tensor rows;
      std::vector<std::int64_t> packed_places;
      run_program(
          [&](Context& ctx) {
            auto [flat, places] = places_of(ctx.layout(), wanted);
            packed_places = places;
            rows = ctx.gather_gradients(
                ctx.retain(),
                [&](const Batch& b) -> Terms {
                  const torch::Tensor loss = ctx.task().loss(ctx.student(b), b.labels);
                  return {{.name = "one", .loss = loss}, {.name = "two", .loss = loss * 2}};
                },
                torch::tensor(flat));
            return Outcome::kFinished;
          },
          toy, world());
      ASSERT_GT(packed_places.size(), 3u);
      const auto model = fresh(toy);
      for (std::size_t i = 0; i < toy.retain.size(); ++i) {
        const torch::Tensor g =
            own_gradient(*model, toy, toy.retain[i]).index_select(0, torch::tensor(packed_places));
        const auto row = static_cast<std::int64_t>(2 * i);
        EXPECT_LT(relative(rows[row].to(torch::kDouble), g), 1e-5);
        EXPECT_LT(relative(rows[row + 1].to(torch::kDouble), 2 * g), 1e-5);
      }
    }
}

Toy family_toy(const std::string& name, std::int64_t side, const json& changes = json::object()) {
  json config = models::find_descriptor(name)->config(name, {1, side, side, 3});
  config.update(changes);
  Toy toy;
  toy.make = [config] { return models::build(config); };
  toy.task = tasks::make_classification(3);
  toy.classes = 3;
  at::manual_seed(5);
  toy.samples = std::make_shared<Rows>("pixel_values", torch::randn({4, 1, side, side}),
                                       torch::tensor({0, 1, 2, 0}, torch::kLong));
  toy.retain = {0, 1, 2, 3};
  return toy;
}

TEST(PerSampleSquares, CoverTheFamiliesLayerByLayer) {
  const json small_vit = {
      {"hidden_size", 12}, {"num_hidden_layers", 2}, {"num_attention_heads", 3}, {"intermediate_size", 20}};
  for (const Toy& toy : {family_toy("resnet8", 8), family_toy("vit_tiny_patch4", 8, small_vit)})
    EXPECT_LT(relative(squares_by_engine(toy), squares_by_hand(toy)), 1e-4);
}

class FamilySquares : public testing::TestWithParam<json> {};

TEST_P(FamilySquares, EqualOnePassASample) {
  const Toy toy = tiny_family_toy(GetParam(), 0, 5);
  EXPECT_LT(relative(squares_by_engine(toy), squares_by_hand(toy)), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Tiny, FamilySquares, testing::ValuesIn(tiny_families()),
                         [](const auto& info) { return family_name(info.param); });

// Fisher.

// What one unit of noise became, element by element.
torch::Tensor deviations(const ToyResult& result, const Toy& toy, const char* purpose) {
  std::vector<double> unit;
  for (const auto& e : result.layout.entries) {
    const Rng own = Rng(toy.seed, purpose).sub(e.name);
    for (std::int64_t i = 0; i < e.numel; ++i) unit.push_back(own.normal(static_cast<std::uint64_t>(i)));
  }
  return packed(result.layout, result.values - result.start) / torch::tensor(unit, torch::kDouble);
}

TEST(Fisher, NoiseOfALogisticRegressionIsTheCards) { check_fisher("fisher"); }

// F of single samples over all classes, by hand.
torch::Tensor fisher_by_hand(const Toy& toy, std::int64_t classes) {
  const auto model = fresh(toy);
  torch::Tensor sum;
  for (auto id : toy.retain) {
    Batch b;
    toy.samples->load({id}, -1, b);
    const torch::Tensor p =
        at::softmax(model->forward(b.inputs).at("logits").detach().to(torch::kDouble), 1)[0];
    for (std::int64_t k = 0; k < classes; ++k) {
      const torch::Tensor g = gradient_of(*model, toy, id, torch::tensor({k}, torch::kLong)).square() * p[k];
      sum = sum.defined() ? sum + g : g;
    }
  }
  return sum / static_cast<double>(toy.retain.size());
}

TEST(Fisher, SquaresSingleSamplesWhateverTheBatch) {
  const Toy toy = conv_toy(3, 10).with({{"tensor_rules", false}, {"alpha", 1e-4}});
  const torch::Tensor f = fisher_by_hand(toy, 3), expected = (1e-4 * (1 / (f + 1e-8)).clamp_max(1e3)).sqrt();
  for (int batch : {1, 4, 64}) {
    const auto result = run_method("fisher", toy.with({{"batch", batch}}), world());
    EXPECT_LT(((deviations(result, toy, "fisher") - expected) / expected).abs().max().item<double>(), 3e-3);
  }
}

TEST(Fisher, FollowsTheReferencesRulesTensorByTensor) {
  const Toy toy = conv_toy(3, 10).with({{"alpha", 1e-4}});
  const auto result = run_method("fisher", toy, world());
  const torch::Tensor found = deviations(result, toy, "fisher").square(), f = fisher_by_hand(toy, 3);
  std::int64_t at = 0;
  for (const auto& e : result.layout.entries) {
    torch::Tensor v = 1e-4 * (1 / (f.narrow(0, at, e.numel) + 1e-8)).clamp_max(1e3).view(e.shape);
    const bool head = e.name.rfind("head", 0) == 0;
    if (head) v = v.clamp_max(1e-4 * 1e2);
    if (v.dim() > 1) v = v.mean(1, true).expand_as(v).clone();
    if (head || v.dim() == 1) v = v * 10;
    const torch::Tensor got = found.narrow(0, at, e.numel).view(e.shape);
    EXPECT_LT(((got - v) / v).abs().max().item<double>(), 6e-3) << e.name;
    at += e.numel;
  }
}

TEST(Fisher, ErasesTheClassifierRowsOfAClassThatIsGone) {
  Toy toy = conv_toy(0, 12).with({{"alpha", 0}});
  toy.forget = {0, 3, 6, 9}, toy.retain = {1, 2, 4, 5, 7, 8, 10, 11};  // class 0
  const auto result = run_method("fisher", toy, world());
  for (std::size_t i = 0; i < result.layout.entries.size(); ++i) {
    const auto& e = result.layout.entries[i];
    const torch::Tensor before = result.layout.view_of(result.start, i),
                        after = result.layout.view_of(result.values, i);
    if (e.name.rfind("head", 0) != 0) {
      EXPECT_TRUE(after.equal(before)) << e.name;
      continue;
    }
    EXPECT_TRUE(after.narrow(0, 1, 2).equal(before.narrow(0, 1, 2)));
    const Rng own = Rng(toy.seed, "fisher").sub(e.name);
    EXPECT_NEAR(after[0].flatten()[0].item<double>(), std::sqrt(1e-3) * own.normal(0),
                1e-6);  // mean 0, 10 * 1e-4
  }
}

TEST(Fisher, DrawsLabelsFromTheModelOrTakesTheTrueOnes) {
  const Toy toy = mlp_toy(2, 40).with({{"tensor_rules", false}});
  const auto std_of = [&](const char* labels) {
    return deviations(run_method("fisher", toy.with({{"labels", labels}}), world()), toy, "fisher");
  };
  const auto model = fresh(toy);
  torch::Tensor empirical;
  for (auto id : toy.retain) {
    const torch::Tensor g = own_gradient(*model, toy, id).square() / 40;
    empirical = empirical.defined() ? empirical + g : g;
  }
  const torch::Tensor expected = (1e-6 * (1 / (empirical + 1e-8)).clamp_max(1e3)).sqrt();
  EXPECT_LT(relative(std_of("empirical"), expected), 1e-2);
  const torch::Tensor exact = std_of("exact"), sampled = std_of("sampled");
  EXPECT_GT(relative(sampled, exact), 1e-3);
  EXPECT_LT(relative(sampled, exact), 0.6);  // unbiased, from 40 draws
}

// SSD.

TEST(Ssd, DampensByTheGoldenFactorAndKeepsWhatIsNotSelected) {
  // Squared gradients of D_f are 5; over all of the hundred samples they average 0.4 and 0.6.
  const auto root = [](double x) { return static_cast<float>(std::sqrt(x)); };
  std::vector<std::vector<float>> targets = {{1 - root(5), 1 - root(5)}};
  std::vector<std::int64_t> retain;
  for (int i = 1; i < 100; ++i) {
    targets.push_back({1 - root(35.0 / 99), 1 - root(55.0 / 99)});
    retain.push_back(i);
  }
  const Toy toy = quad_toy(targets, {0}, retain, {1, 1});
  const auto result = run_method("ssd", toy, world());
  EXPECT_NEAR(result.values[0].item<double>(), 0.08, 1e-6);
  EXPECT_EQ(result.values[1].item<float>(), 1);  // 5 < 10 * 0.6: bit for bit
  EXPECT_TRUE(run_method("ssd", toy.with({{"lambda", 1e6}}), world()).values.equal(result.start));
}

TEST(Ssd, DoesNotDependOnTheBatch) {
  const Toy toy = conv_toy(7, 20).with({{"alpha", 1.2}});
  const auto large = run_method("ssd", toy.with({{"batch", 64}}), world()),
             small = run_method("ssd", toy.with({{"batch", 3}}), world());
  EXPECT_FALSE(large.values.equal(large.start));
  EXPECT_LT((large.values - small.values).abs().max().item<double>(), 1e-5);
}

TEST(Ssd, SquaresBatchMeansAsTheReferenceWhenAsked) {
  // Gradients +3 and -1 in one batch: mean 1. Alone: (9 + 1) / 2.
  const Toy toy = quad_toy({{-2, 1}, {2, 1}, {0.5f, 1}, {0.5f, 1}}, {0, 1}, {2, 3}, {1, 1});
  const auto theta = [&](const char* gradient, double alpha) {
    return run_method("ssd", toy.with({{"gradient", gradient}, {"alpha", alpha}, {"batch", 64}}), world())
        .values[0]
        .item<double>();
  };
  // Batch: D_f 1, all (3 - 1 + 0.5 + 0.5) / 4 = 0.75, squared 0.5625.
  EXPECT_NEAR(theta("batch", 1.5), 0.5625, 1e-6);
  EXPECT_NEAR(theta("sample", 1.5), (9 + 1 + 0.25 + 0.25) / 4 / 5, 1e-6);
}

// Influence.

TEST(Influence, FollowsTheRecursionSampleBySample) {
  const Toy toy = mlp_toy(5, 12).with({{"samples", 9}, {"alpha", 0.7}});
  const auto result = run_method("influence", toy, world());
  const auto model = fresh(toy);
  torch::Tensor f, r;
  for (auto id : toy.forget)
    f = f.defined() ? f + own_gradient(*model, toy, id) : own_gradient(*model, toy, id);
  for (auto id : toy.retain)
    r = r.defined() ? r + own_gradient(*model, toy, id) : own_gradient(*model, toy, id);
  torch::Tensor k = f / 17 - r * 5 / (17.0 * 12), o;

  // The nine samples in the order in which the run saw them.
  std::vector<std::int64_t> chosen;
  for (auto i : Rng(toy.seed, "woodfisher").sample(9, 12))
    chosen.push_back(toy.retain[static_cast<std::size_t>(i)]);
  std::sort(chosen.begin(), chosen.end());
  for (auto i : pass_order(toy.seed, "retain.woodfisher", 0, 9)) {
    const torch::Tensor g = own_gradient(*model, toy, chosen[static_cast<std::size_t>(i)]);
    if (!o.defined()) {
      o = g;
      continue;
    }
    const torch::Tensor og = o.dot(g), kg = k.dot(g);
    k = k - o * kg / (9 + og);
    o = o - o * og / (9 + og);
  }
  EXPECT_LT(relative(packed(result.layout, result.values - result.start), 0.7 * k), 1e-4);
}

TEST(Influence, RaisesTheLossOfDf) {
  Toy toy = mlp_toy(12, 60).with({{"epochs", 15}, {"lr", 0.02}, {"batch", 16}});
  Toy all = toy;
  all.retain.insert(all.retain.begin(), all.forget.begin(), all.forget.end());
  all.forget.clear();
  toy.start = run_method("retrain", all, alone()).values;
  const auto result = run_method("influence", toy.with({{"alpha", 1}}), world());
  EXPECT_GT(mean_loss(toy, result.values, toy.forget), mean_loss(toy, toy.start, toy.forget));
}

// Descent-to-Delete.

TEST(Dtd, SigmaIsTheGuarantees) {
  EXPECT_NEAR(methods::noise_deviation(methods::DescentToDelete{1000, 25, 1.05, 3.95, 0.05, 5, 1e-6}),
              0.216687980809, 1e-11);  // G12
  const double n = 145000;
  EXPECT_NEAR(methods::noise_deviation(methods::DescentToDelete{n, 1, 1.02, 3.98, 0.02, 5, 1 / (n * n)}),
              0.403367193177, 1e-11);  // G13
}

TEST(Dtd, DescendsOnTheWholeOfDrTowardsTheRidgeSolution) {
  const Toy toy = quad_toy({{9, 9}, {0, 2}, {2, 0}}, {0}, {1, 2}, {5, -3})
                      .with({{"sigma", 0}, {"convexity", 0.5}, {"epochs", 4}, {"batch", 1}});
  const auto result = run_method("dtd", toy, world());
  EXPECT_EQ(result.report.steps, 4);
  // theta* = 1 / 1.5; each step contracts by 1 - 0.1 * 1.5.
  for (int i = 0; i < 2; ++i) {
    const double start = i == 0 ? 5 : -3, best = 1 / 1.5;
    EXPECT_NEAR(result.values[i].item<double>(), best + std::pow(0.85, 4) * (start - best), 1e-6);
  }
}

TEST(Dtd, ProjectsOntoTheBall) {
  const Toy toy =
      quad_toy({{9, 9}, {30, 40}}, {0}, {1}, {3, 4}).with({{"sigma", 0}, {"radius", 2}, {"epochs", 3}});
  const torch::Tensor t = run_method("dtd", toy, world()).values;
  EXPECT_NEAR(t[0].item<double>(), 1.2, 1e-6);
  EXPECT_NEAR(t[1].item<double>(), 1.6, 1e-6);
}

TEST(Dtd, NoiseHasTheDeviationAskedFor) {
  const Toy toy = logit_toy(25000, 4, {}).with({{"sigma", 0.1}, {"epochs", 0}});
  const auto result = run_method("dtd", toy, world());
  const torch::Tensor moved = packed(result.layout, result.values - result.start);
  EXPECT_NEAR(moved.std().item<double>(), 0.1, 0.001);
  EXPECT_LT(std::fabs(moved.mean().item<double>()), 4 * 0.1 / std::sqrt(1e5));
}

TEST(Dtd, TakesSigmaFromTheJobsNumbersByDefault) {
  const Toy toy = quad_toy({{0, 0}, {0, 0}}, {}, {0, 1}, {0, 0}).with({{"epochs", 1}, {"lr", 0}});
  const double sigma = methods::noise_deviation(methods::DescentToDelete{2, 1, 1.05, 3.95, 0.05, 5, 0.25});
  const torch::Tensor unit = deviations(run_method("dtd", toy, world()), toy, "dtd");
  EXPECT_NEAR(unit[0].item<double>(), sigma, sigma * 1e-6);
  EXPECT_NEAR(unit[1].item<double>(), sigma, sigma * 1e-6);
}

// L-CODEC.

const json kOneDeletion = {{"perturbations", 60}, {"max_units", 3}, {"hessian_samples", 100},
                           {"val_gap_skip", 1},   {"noise", false}, {"lambda", 0.05}};

// sqrt(p_k) times the gradient of -log p_k, class by class, at these positions of the packed gradient.
torch::Tensor fisher_rows(const Toy& toy, std::int64_t id, const torch::Tensor& at) {
  const auto model = fresh(toy);
  Batch b;
  toy.samples->load({id}, -1, b);
  const torch::Tensor p =
      at::softmax(model->forward(b.inputs).at("logits").detach().to(torch::kDouble), 1)[0];
  std::vector<torch::Tensor> rows;
  for (std::int64_t k = 0; k < p.numel(); ++k)
    rows.push_back(gradient_of(*model, toy, id, torch::tensor({k}, torch::kLong)).index_select(0, at) *
                   p[k].sqrt());
  return torch::stack(rows);
}

TEST(LCodec, TakesTheNewtonStepOnTheChosenWeights) {
  const Toy toy = mlp_toy(1, 12).with(kOneDeletion);
  const auto model = fresh(toy);
  for (const char* update : {"sekhari", "cr"}) {
    const auto result = run_method("l_codec", toy.with({{"update", update}}), world());
    const torch::Tensor moved = packed(result.layout, result.values - result.start),
                        at = moved.nonzero().flatten();
    ASSERT_GT(at.numel(), 1);
    ASSERT_LE(at.numel(), 3 * 17);
    const torch::Tensor g = own_gradient(*model, toy, 0).index_select(0, at), own = fisher_rows(toy, 0, at);
    torch::Tensor h = at::mm(own.t(), own);
    double length = 1;
    if (std::string(update) == "sekhari") {
      torch::Tensor all = torch::zeros_like(h);
      for (auto id : toy.retain) {
        const torch::Tensor rows = fisher_rows(toy, id, at);
        all += at::mm(rows.t(), rows) / 12;
      }
      h = (13 * all - h) / 12;
      length = 12;
    }
    h = h + 0.05 * torch::eye(at.numel(), torch::kDouble);
    EXPECT_LT(relative(moved.index_select(0, at), at::linalg_solve(h, g) / length), 1e-3) << update;
  }
}

TEST(LCodec, ChangesWholeUnitsOfTheirLayers) {
  const Toy toy = conv_toy(2, 12)
                      .with(kOneDeletion)
                      .with({{"deletion_batch", 2}, {"max_units", 1}, {"noise", true}, {"lambda", 10}});
  const auto result = run_method("l_codec", toy, world());
  std::vector<std::string> moved;
  for (std::size_t i = 0; i < result.layout.entries.size(); ++i) {
    const torch::Tensor change = result.layout.view_of(result.values - result.start, i);
    if (change.abs().max().item<double>() == 0) continue;
    moved.push_back(result.layout.entries[i].name);
    EXPECT_EQ(change.flatten(1 < change.dim() ? 1 : 0)
                  .reshape({change.size(0), -1})
                  .abs()
                  .sum(1)
                  .gt(0)
                  .sum()
                  .item<std::int64_t>(),
              1)
        << moved.back();
  }
  // One unit: a convolution's filter, or a row of the classifier with its bias.
  ASSERT_FALSE(moved.empty());
  EXPECT_TRUE(moved == std::vector<std::string>{"conv.weight"} ||
              moved == (std::vector<std::string>{"head.weight", "head.bias"}));
}

TEST(LCodec, UndoesADeletionThatCostsTooMuchAccuracy) {
  Toy toy = mlp_toy(4, 40).with({{"epochs", 20}, {"lr", 0.02}, {"batch", 16}});
  Toy all = toy;
  all.retain.insert(all.retain.begin(), all.forget.begin(), all.forget.end());
  all.forget.clear();
  toy.start = run_method("retrain", all, alone()).values;
  // With a small lambda the noise drowns every weight that it reaches.
  toy.options = kOneDeletion;
  const json drowned = {{"noise", true}, {"lambda", 1e-4}, {"deletion_batch", 4}};
  const auto kept = run_method("l_codec", toy.with(drowned), world()),
             undone = run_method("l_codec", toy.with(drowned).with({{"val_gap_skip", 0.01}}), world());
  EXPECT_FALSE(kept.values.equal(kept.start));
  EXPECT_TRUE(undone.values.equal(undone.start));
}

}  // namespace
}  // namespace expunge::test
