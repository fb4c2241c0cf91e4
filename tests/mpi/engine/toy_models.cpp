// The toys' models, tasks and samples.
#include <algorithm>

#include "models/torch/blocks.hpp"
#include "tests/mpi/engine/toys.hpp"

namespace expunge::test {
namespace {

using models::Tensors;

torch::Tensor dropped(const torch::Tensor& x, double p, bool training) {
  if (p == 0 || !training) return x;
  return x * torch::rand_like(x).ge(p).to(x.dtype()) / (1 - p);
}

class Toys : public models::Model {
 public:
  explicit Toys(double dropout = 0) : models::Model(nlohmann::json::object()), dropout_(dropout) {}
  bool has_dropout() const override { return dropout_ > 0; }
  void initialize(const Rng& rng) override {
    const torch::NoGradGuard no_grad;
    for (auto& p : named_parameters()) {
      std::string name = p.key();
      std::replace(name.begin(), name.end(), '.', '_');
      const Rng of = rng.sub(name);
      float* values = p.value().data_ptr<float>();
      for (std::int64_t i = 0; i < p.value().numel(); ++i)
        values[i] = static_cast<float>(0.4 * of.normal(static_cast<std::uint64_t>(i)));
    }
    for (models::BatchNorm* bn : batch_norms()) {
      bn->weight.fill_(1), bn->bias.fill_(0);
      bn->running_mean.fill_(0), bn->running_var.fill_(1);
    }
  }

 protected:
  torch::Tensor parameter(const char* name, std::vector<std::int64_t> shape) {
    return register_parameter(name, torch::zeros(shape));
  }
  double dropout_;
};

class Quad : public Toys {
 public:
  explicit Quad(std::vector<float> start) : start_(std::move(start)), theta_(parameter("theta", {2})) {}
  void initialize(const Rng&) override {
    const torch::NoGradGuard no_grad;
    theta_.copy_(torch::tensor(start_));
  }
  Tensors forward(const Tensors& in) override {
    const torch::Tensor& a = in.at("a");
    return {{"theta", theta_.expand({a.size(0), 2})}, {"a", a}};
  }

 private:
  std::vector<float> start_;
  torch::Tensor theta_;
};

class Logit : public Toys {
 public:
  Logit(std::int64_t samples, std::int64_t classes) : z_(parameter("z", {samples, classes})) {}
  Tensors forward(const Tensors& in) override { return {{"logits", z_.index_select(0, in.at("index"))}}; }

 private:
  torch::Tensor z_;
};

// What methods for pairs read: here both towers and their fusion are the pooled features.
Tensors with_towers(Tensors outputs) {
  for (const char* name : {"image", "text", "fused"}) outputs[name] = outputs.at("pooled");
  return outputs;
}

class Mlp : public Toys {
 public:
  explicit Mlp(double dropout)
      : Toys(dropout),
        hidden_(register_module("hidden", std::make_shared<models::Linear>(2, 16))),
        head_(register_module("head", std::make_shared<models::Linear>(16, 2))) {}
  Tensors forward(const Tensors& in) override {
    const torch::Tensor h =
        dropped(adapted("hidden", at::relu(hidden_->forward(in.at("x")))), dropout_, is_training());
    return with_towers({{"logits", head_->forward(h)}, {"pooled", h}, {"features", h.unsqueeze(1)}});
  }
  std::string head_prefix() const override { return "head"; }
  std::vector<models::AdapterSite> adapter_sites() const override { return {{"hidden", 16}}; }

 private:
  std::shared_ptr<models::Linear> hidden_, head_;
};

class ConvNet : public Toys {
 public:
  ConvNet(double dropout, std::int64_t channels)
      : Toys(dropout),
        conv_(register_module("conv", std::make_shared<models::Conv2d>(1, channels, 3, 1, 0, false))),
        bn_(register_module("bn", std::make_shared<models::BatchNorm>(channels, 1e-5, 0.1))),
        head_(register_module("head", std::make_shared<models::Linear>(channels, 3))) {
    adopt_batch_norms();
  }
  Tensors forward(const Tensors& in) override {
    const torch::Tensor h = adapted("conv", at::relu(bn_->forward(conv_->forward(in.at("pixel_values"))))),
                        pooled = dropped(h.mean({2, 3}), dropout_, is_training());
    return with_towers(
        {{"logits", head_->forward(pooled)}, {"pooled", pooled}, {"features", h.flatten(2).transpose(1, 2)}});
  }
  std::string head_prefix() const override { return "head"; }
  std::vector<models::AdapterSite> adapter_sites() const override { return {{"conv", 4}}; }

 private:
  std::shared_ptr<models::Conv2d> conv_;
  std::shared_ptr<models::BatchNorm> bn_;
  std::shared_ptr<models::Linear> head_;
};

class QuadTask : public tasks::Task {
 public:
  std::string name() const override { return "quad"; }
  std::int64_t classes() const override { return 2; }
  std::vector<std::string> reads() const override { return {"theta", "a"}; }
  torch::Tensor loss(const Tensors& out, const torch::Tensor&) const override {
    return (out.at("theta") - out.at("a")).square().sum(1) * 0.5;
  }
  torch::Tensor divergence(const Tensors& teacher, const Tensors& student, double) const override {
    return (student.at("theta") - teacher.at("theta").detach()).square().sum(1) * 0.5;
  }
  torch::Tensor correct(const Tensors& out, const torch::Tensor&) const override {
    return (loss(out, {}) < 0.5).to(torch::kFloat);
  }
  Tensors without_target(const Tensors& out, const torch::Tensor&, double) const override { return out; }
  torch::Tensor corrupt(const Batch& b, const std::string&, const Rng&) const override { return b.labels; }
};

class Scaled : public tasks::Task {
 public:
  Scaled(std::unique_ptr<tasks::Task> inner, double factor) : inner_(std::move(inner)), factor_(factor) {}
  std::string name() const override { return inner_->name(); }
  std::int64_t classes() const override { return inner_->classes(); }
  torch::Tensor loss(const Tensors& out, const torch::Tensor& targets) const override {
    return inner_->loss(out, targets) * factor_;
  }
  torch::Tensor divergence(const Tensors& t, const Tensors& s, double temperature) const override {
    return inner_->divergence(t, s, temperature);
  }
  torch::Tensor correct(const Tensors& out, const torch::Tensor& targets) const override {
    return inner_->correct(out, targets);
  }
  Tensors without_target(const Tensors& out, const torch::Tensor& targets, double penalty) const override {
    return inner_->without_target(out, targets, penalty);
  }
  torch::Tensor corrupt(const Batch& b, const std::string& mode, const Rng& rng) const override {
    return inner_->corrupt(b, mode, rng);
  }

 private:
  std::unique_ptr<tasks::Task> inner_;
  double factor_;
};

}  // namespace

void Rows::load(const std::vector<std::int64_t>& ids, std::int64_t, Batch& into) const {
  const torch::Tensor rows = torch::tensor(ids, torch::kLong);
  into.inputs[name_] = input_.index_select(0, rows);
  into.inputs["input_ids"] = rows;  // the toys' text, which they do not read
  into.labels = labels_.index_select(0, rows);
  loaded.push_back(ids);
}

MakeModel quad(std::vector<float> start) {
  return [start] { return std::make_shared<Quad>(start); };
}
MakeModel logit(std::int64_t samples, std::int64_t classes) {
  return [=] { return std::make_shared<Logit>(samples, classes); };
}
MakeModel mlp(double dropout) {
  return [=] { return std::make_shared<Mlp>(dropout); };
}
MakeModel conv_net(double dropout, std::int64_t channels) {
  return [=] { return std::make_shared<ConvNet>(dropout, channels); };
}

std::unique_ptr<tasks::Task> quad_task() { return std::make_unique<QuadTask>(); }
std::unique_ptr<tasks::Task> scaled(std::unique_ptr<tasks::Task> task, double factor) {
  return std::make_unique<Scaled>(std::move(task), factor);
}

}  // namespace expunge::test
