// 20 AdamW steps in training mode against the reference: linear decay to 0, clipping at 1, weight decay on
// all parameters (`final`) or as the Hugging Face Trainer sets it (`trainer_final`). The optimiser, clipping
// and flat buffers are the engine's.
#include <gtest/gtest.h>

#include <ATen/Parallel.h>

#include <cmath>

#include "tensor/flat_parameters.hpp"
#include "tensor/optimizer.hpp"
#include "tests/golden/fixture.hpp"

namespace expunge {
namespace {

constexpr double kLr = 1e-3;

class Trainer {
 public:
  Trainer(std::shared_ptr<models::Model> model, const std::string& decay)
      : model_(std::move(model)),
        parameters_(
            *model_, torch::kCPU, [](const std::string&) { return true; }, decay),
        optimizer_({.name = "adamw", .lr = kLr, .weight_decay = 0.01, .decay = decay}, parameters_.trainable),
        gradient_(torch::zeros_like(parameters_.trainable.values)) {
    parameters_.bind_gradients(gradient_);
    for (models::BatchNorm* bn : model_->batch_norms())
      bn->batch_mean = torch::zeros_like(bn->running_mean),
      bn->batch_var = torch::zeros_like(bn->running_var);
    model_->train();
  }

  // One step on a batch: its mean cross-entropy before the update, and the gradient's norm before clipping.
  std::pair<double, double> step(const models::Tensors& batch, double lr) {
    gradient_.zero_();
    const torch::Tensor loss =
        at::cross_entropy_loss(model_->forward(batch).at("logits"), batch.at("labels"));
    loss.backward();
    update_running_statistics();
    const double norm = tensor::gradient_norm(gradient_);
    optimizer_.step(parameters_.trainable, gradient_, lr / kLr, tensor::clip_factor(norm, 1.0));
    return {loss.item<double>(), norm};
  }

 private:
  void update_running_statistics() {
    const torch::NoGradGuard no_grad;
    for (models::BatchNorm* bn : model_->batch_norms()) {
      bn->running_mean.mul_(1 - bn->momentum).add_(bn->batch_mean, bn->momentum);
      bn->running_var.mul_(1 - bn->momentum).add_(bn->batch_var, bn->momentum);
      bn->num_batches_tracked.add_(1);
      bn->batch_mean.zero_();
      bn->batch_var.zero_();
    }
  }

  std::shared_ptr<models::Model> model_;
  tensor::FlatParameters parameters_;
  tensor::Optimizer optimizer_;
  torch::Tensor gradient_;
};

// The gradient of an attention key's bias is mathematically zero: AdamW makes steps of full length of its
// rounding noise.
bool is_key_bias(const std::string& name) { return name.ends_with("key.bias"); }

void expect_state(const models::Model& model, const models::Tensors& expected) {
  models::Tensors state;
  for (const auto& p : model.named_parameters()) state[p.key()] = p.value().detach();
  for (const auto& b : model.named_buffers()) state[b.key()] = b.value();
  ASSERT_EQ(state.size(), expected.size());
  for (const auto& [name, value] : expected) {
    if (is_key_bias(name)) continue;
    ASSERT_TRUE(state.count(name)) << name;
    EXPECT_LE((state.at(name) - value).abs().max().item<double>(), 3e-4) << name;
  }
}

class Trajectory : public testing::TestWithParam<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Trajectory);

void follow(const std::string& name, const std::string& decay, const std::string& losses_name,
            const std::string& final_name) {
  at::set_num_threads(1);
  const test::Fixture fixture(name);
  const auto model = fixture.model();
  Trainer trainer(model, decay);
  const auto inputs = fixture.part("in.");
  const torch::Tensor losses = fixture.file.tensors.at(losses_name), lrs = fixture.file.tensors.at("lrs"),
                      norms = fixture.file.tensors.at("grad_total_norms");
  ASSERT_EQ(losses.numel(), 20);
  for (std::int64_t i = 0; i < losses.numel(); ++i) {
    models::Tensors batch;
    for (const auto& [key, value] : inputs) batch[key] = value[i].clone();
    const auto [loss, norm] = trainer.step(batch, lrs[i].item<double>());
    EXPECT_NEAR(loss, losses[i].item<double>(), 5e-5) << "step " << i;
    if (decay == "all")
      EXPECT_NEAR(norm, norms[i].item<double>(), 1e-3 * norms[i].item<double>()) << "step " << i;
    if (i == 0 && decay == "all") expect_state(*model, fixture.part("after1."));
  }
  expect_state(*model, fixture.part(final_name));
  if (decay != "all") return;
  model->eval();
  models::Tensors first;
  for (const auto& [key, value] : inputs) first[key] = value[0].clone();
  const torch::Tensor expected = fixture.file.tensors.at("out.final_eval_logits_batch0");
  EXPECT_LE((model->forward(first).at("logits") - expected).abs().max().item<double>(), 3e-4);
}

TEST_P(Trajectory, DecayOnAllParameters) { follow(GetParam(), "all", "losses", "final."); }
TEST_P(Trajectory, DecayAsTheTrainerSetsIt) {
  follow(GetParam(), "trainer", "trainer_losses", "trainer_final.");
}

// The exempt tensors themselves, not only their effect.
TEST_P(Trajectory, ExemptTensorsAreTheTrainers) {
  const test::Fixture fixture(GetParam());
  const auto exempt = fixture.json("no_decay_in_trainer").get<std::vector<std::string>>();
  const tensor::FlatParameters flat(
      *fixture.model(), torch::kCPU, [](const std::string&) { return true; }, "trainer");
  for (const auto& e : flat.trainable.entries)
    EXPECT_EQ(e.decays, std::find(exempt.begin(), exempt.end(), e.name) == exempt.end()) << e.name;
}

INSTANTIATE_TEST_SUITE_P(Golden, Trajectory, testing::ValuesIn(test::fixtures(true)),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace expunge
