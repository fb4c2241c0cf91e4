// MultiDelete on the bilinear toy of its card: image feature u I, text feature v T, fused u I v T.
#include <gtest/gtest.h>

#include "tests/mpi/engine/conformance.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

class Bilinear : public models::Model {
 public:
  Bilinear() : models::Model(nlohmann::json::object()) {
    u_ = register_parameter("u", torch::zeros({1}));
    v_ = register_parameter("v", torch::zeros({1}));
  }
  models::Tensors forward(const models::Tensors& in) override {
    const torch::Tensor image = in.at("pixel_values") * u_, text = in.at("input_ids") * v_;
    return {
        {"image", image}, {"text", text}, {"fused", image * text}, {"logits", torch::cat({image, text}, 1)}};
  }
  void initialize(const Rng&) override {
    const torch::NoGradGuard no_grad;
    u_.fill_(2);
    v_.fill_(3);
  }

 private:
  torch::Tensor u_, v_;
};

// Pairs of numbers, and which image a text belongs to.
class PairRows : public Rows {
 public:
  PairRows(std::vector<float> images, std::vector<float> texts, std::vector<std::int64_t> owners)
      : Rows("pixel_values", torch::tensor(images).unsqueeze(1),
             torch::zeros({static_cast<std::int64_t>(images.size())}, torch::kLong)),
        images_(torch::tensor(images)),
        texts_(torch::tensor(texts)),
        owners_(torch::tensor(owners, torch::kLong)) {}
  void load(const std::vector<std::int64_t>& ids, std::int64_t, Batch& into) const override {
    const torch::Tensor rows = torch::tensor(ids, torch::kLong);
    into.inputs["pixel_values"] = images_.index_select(0, rows).unsqueeze(1);
    into.inputs["input_ids"] = texts_.index_select(0, rows).unsqueeze(1);
    into.inputs["image_id"] = rows;
    into.inputs["caption_id"] = owners_.index_select(0, rows);
    into.labels = torch::zeros({rows.numel()}, torch::kLong);
  }

 private:
  torch::Tensor images_, texts_, owners_;
};

// Sample 0 is forgotten: I = T = 1. Of 1 and 2, sample 1 owns the image 1 and the text of 2, and the other
// way round: the only unassociated pairs are (I, T) of one and the same sample, I = 1 with T = -1.
Toy bilinear_toy() {
  Toy toy;
  toy.make = [] { return std::make_shared<Bilinear>(); };
  toy.task = tasks::make_classification(2);
  toy.classes = 2;
  toy.samples = std::make_shared<PairRows>(std::vector<float>{1, 1, 1}, std::vector<float>{1, -1, -1},
                                           std::vector<std::int64_t>{0, 2, 1});
  toy.forget = {0}, toy.retain = {1, 2};
  toy.options = {{"optimizer", "sgd"}, {"lr", 0.001}, {"momentum", 0},          {"weight_decay", 0},
                 {"clip", 0},          {"epochs", 1}, {"schedule", "constant"}, {"batch", 4}};
  return toy;
}

TEST(MultiDelete, TakesTheStepOfItsCard) {
  const auto result = run_method("multidelete", bilinear_toy(), world());
  EXPECT_NEAR(result.report.history.at(3), 144, 1e-4);  // the objective of the only step: L_MD, the others 0
  // Gradient of L_MD: 72 for u, 48 for v.
  EXPECT_NEAR(result.values[result.layout.entries[0].offset].item<double>(), 1.928, 1e-6);
  EXPECT_NEAR(result.values[result.layout.entries[1].offset].item<double>(), 2.952, 1e-6);
}

TEST(MultiDelete, MeasuresTheTowersAfterwards) {
  // u = 1.928, v = 2.952 after the first step: L_UKR = (0.072^2 + 0.048^2) / 2 = 0.003744, L_MD =
  // (u v + 6)^2, L_MKR = (u v - 6)^2 (images and texts are 1 and -1).
  const auto result = run_method("multidelete", bilinear_toy().with({{"epochs", 2}}), world());
  const double fused = 1.928 * 2.952;
  const double objective = result.report.history.at(kHistoryColumns.size() + 3);
  EXPECT_NEAR(objective, (fused + 6) * (fused + 6) + 0.003744 + (fused - 6) * (fused - 6), 1e-3);
  const auto without = run_method("multidelete", bilinear_toy().with({{"epochs", 2}, {"w_ukr", 0}}), world());
  EXPECT_NEAR(objective - without.report.history.at(kHistoryColumns.size() + 3), 0.003744, 1e-4);
}

TEST(MultiDelete, StaysWhereItIsWithoutDecoupling) {
  const auto result = run_method("multidelete", bilinear_toy().with({{"w_md", 0}, {"epochs", 3}}), world());
  EXPECT_TRUE(result.values.equal(result.start));
}

TEST(MultiDelete, PairsWithinTheBatchAreDeranged) {
  // Two forgotten samples with texts 1 and -1: each image meets the other's text, so both targets are -6
  // and 6.
  Toy toy = bilinear_toy().with({{"pairing", "in_batch"}, {"w_ukr", 0}, {"w_mkr", 0}});
  toy.forget = {0, 1}, toy.retain = {2};
  const auto result = run_method("multidelete", toy, world());
  EXPECT_NEAR(result.report.history.at(3), 144, 1e-4);
}

}  // namespace
}  // namespace expunge::test
