// Single-label classification: cross-entropy on "logits" [n, K].
#include <algorithm>

#include "core/error.hpp"
#include "tasks/task.hpp"

namespace expunge::tasks {
namespace {

torch::Tensor log_probabilities(const models::Tensors& outputs, double temperature = 1) {
  torch::Tensor z = outputs.at("logits").to(torch::kFloat);
  if (temperature != 1) z = z / temperature;
  return at::log_softmax(z, -1);
}

class Classification : public Task {
 public:
  Classification(std::int64_t classes, const std::vector<double>& weights) : classes_(classes) {
    EXPUNGE_CHECK(weights.empty() || std::ssize(weights) == classes, "{} weights of {} classes",
                  weights.size(), classes);
    if (!weights.empty()) weights_ = torch::tensor(weights, torch::kFloat);
  }
  std::string name() const override { return "classification"; }
  std::int64_t classes() const override { return classes_; }

  torch::Tensor loss(const models::Tensors& outputs, const torch::Tensor& targets) const override {
    const torch::Tensor plain = negative_log_likelihood(outputs, targets);
    return weights_.defined() ? plain * weights_.to(targets.device()).index_select(0, targets) : plain;
  }

  torch::Tensor negative_log_likelihood(const models::Tensors& outputs,
                                        const torch::Tensor& targets) const override {
    return -log_probabilities(outputs).gather(1, targets.unsqueeze(1)).squeeze(1);
  }

  torch::Tensor divergence(const models::Tensors& teacher, const models::Tensors& student,
                           double temperature) const override {
    const torch::Tensor t = log_probabilities(teacher, temperature).detach(),
                        s = log_probabilities(student, temperature);
    return (t.exp() * (t - s)).sum(-1) * (temperature * temperature);
  }

  torch::Tensor correct(const models::Tensors& outputs, const torch::Tensor& targets) const override {
    return outputs.at("logits").to(torch::kFloat).argmax(-1).eq(targets).to(torch::kFloat);
  }

  models::Tensors without_target(const models::Tensors& outputs, const torch::Tensor& targets,
                                 double penalty) const override {
    // In float, exp(-1e9) is 0 and 0 * -1e9 is 0: no infinity has to be guarded against.
    const double finite = std::min(penalty, 1e9);
    const torch::Tensor z = outputs.at("logits").detach().to(torch::kFloat);
    return {{"logits", z - at::one_hot(targets, z.size(-1)).to(torch::kFloat) * finite}};
  }

  torch::Tensor drawn(const models::Tensors& outputs, const Batch& b, const Rng& rng) const override {
    // On the host: a GPU's running sums have no fixed order.
    const torch::Tensor cumulated = log_probabilities(outputs).detach().exp().to(torch::kCPU).cumsum(1);
    std::vector<float> u;
    for (auto id : b.ids) u.push_back(static_cast<float>(rng.uniform(static_cast<std::uint64_t>(id))));
    return cumulated.lt(torch::tensor(u).unsqueeze(1)).sum(1).clamp_max(classes_ - 1).to(b.labels.device());
  }

  torch::Tensor corrupt(const Batch& b, const std::string& mode, const Rng& rng) const override {
    EXPUNGE_CHECK(classes_ >= 2, "relabelling needs two classes");
    const auto k = static_cast<std::uint64_t>(classes_);
    torch::Tensor labels = b.labels.to(torch::kCPU).clone();
    const torch::Tensor forget = b.is_forget.to(torch::kCPU);
    auto* y = labels.data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < b.size(); ++i) {
      if (forget.data_ptr<float>()[i] == 0) continue;
      const auto id = static_cast<std::uint64_t>(b.ids[static_cast<std::size_t>(i)]);
      if (mode == "plus_one") {
        y[i] = (y[i] + 1) % classes_;
      } else if (mode == "uniform_all") {
        y[i] = static_cast<std::int64_t>(rng.below(k, id));
      } else {
        EXPUNGE_CHECK(mode == "uniform_other", "unknown label mode {}", mode);
        const auto draw = static_cast<std::int64_t>(rng.below(k - 1, id));
        y[i] = draw + (draw >= y[i]);
      }
    }
    return labels.to(b.labels.device());
  }

 private:
  std::int64_t classes_;
  torch::Tensor weights_;  // [classes], or undefined
};

}  // namespace

std::unique_ptr<Task> make_classification(std::int64_t classes, const std::vector<double>& weights) {
  return std::make_unique<Classification>(classes, weights);
}

}  // namespace expunge::tasks
