// ERM-KTP: find which channels the forgotten classes need, then pass the knowledge of the others to a fresh
// network.
//   1. ERM: train the original on D_f and D_r with a mask M [channels, classes] on the pooled features, every
//   `mask_period`-th pass masked by M[:, y]; L = CE + lambda * tasks::entanglement(M); after each step M is
//   clipped.
//   2. KTP: channels of which no forgotten class has M > keep_threshold are kept. A fresh student has the
//   trained classifier, columns of other channels and rows of forgotten classes 0, and it stays so. On D_r
//   L = MSE(features, features_t) + MSE(pooled, keep * pooled_t).
// Source: Lin et al. 2023. For whole classes.
#include <algorithm>

#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include <set>

#include "core/error.hpp"
#include "engine/context.hpp"
#include "tasks/entanglement.hpp"
#endif

namespace expunge::methods {
namespace erm_ktp {

const Descriptor descriptor = {
    .name = "erm_ktp",
    .summary = "disentangle channels of classes, then distil the kept ones into a fresh network",
    .source = "Lin et al., CVPR 2023 (ERM-KTP)",
    .copies = 3,
    .taxonomy = {.measure = "output",
                 .corrupt = "model",
                 .retain = "original",
                 .parameters = "dense, external"},
    .needs = {Need::kLabels, Need::kHead, Need::kWholeClasses},
    .deviations =
        {"the mask is trained from the original, as the method's first phase, since originals have none",
         "period 3 with one masked pass, lambda 1e-3: the released code does not define them",
         "where no channel is free of the forgotten classes, the tenth that they use least is kept",
         "the teacher is in eval mode (the reference leaves it training)"},
    .noop_on_empty = true,
    .noop_on_zero_lr = false,
    .refuses = {{"fusion", "its mask lies on the features that the classifier reads"},
                {"lora", "its student is a new network"}},
    .plan = {}};

struct Options : MethodOptions {
  std::int64_t erm_epochs = 30, mask_period = 3;
  double erm_lr_scale = 0.1, lambda = 1e-3, mask_lr = 0.1, keep_threshold = 0;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.name = "sgd";
  defaults.optimizer.lr = 0.1;
  defaults.optimizer.momentum = 0.9;
  defaults.optimizer.weight_decay = 5e-4;
  defaults.schedule = "step";
  defaults.lr_steps = {10, 20};
  defaults.epochs = 30;
  defaults.batch = 256;
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.erm_epochs = in.integer("erm_epochs", opt.erm_epochs, config::ge(0), "passes that train the mask");
  opt.mask_period =
      in.integer("mask_period", opt.mask_period, config::ge(1), "every so many passes are masked");
  opt.erm_lr_scale = in.number("erm_lr_scale", opt.erm_lr_scale, config::ge(0),
                               "share of the learning rate in these passes");
  opt.lambda = in.number("lambda", opt.lambda, config::ge(0), "weight of the mask's regulariser");
  opt.mask_lr = in.number("mask_lr", opt.mask_lr, config::ge(0), "learning rate of the mask (SGD)");
  opt.keep_threshold = in.number("keep_threshold", opt.keep_threshold, config::between(0, 1),
                                 "a channel is kept when no forgotten class has more of it");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  if (sizes.forget == 0) return {};
  const std::int64_t all = sizes.forget + sizes.retain, batch = opt.train.batch;
  const auto erm = static_cast<double>(opt.erm_epochs * all),
             ktp = static_cast<double>(opt.train.epochs * sizes.retain);
  return {{"erm", opt.erm_epochs * steps_of(all, batch), erm, erm, 0},
          {"ktp", opt.train.epochs * steps_of(sizes.retain, batch), ktp, ktp, ktp}};
}

#ifdef EXPUNGE_ENGINE
class Mask : public models::Model {
 public:
  Mask(std::int64_t channels, std::int64_t classes) : models::Model(nlohmann::json::object()) {
    mask_ = register_parameter("mask", torch::zeros({channels, classes}));
  }
  models::Tensors forward(const models::Tensors& in) override {  // rows of the labels: [n, channels]
    return {{"mask", mask_.index_select(1, in.at("labels")).t()}};
  }
  void initialize(const Rng&) override {
    const torch::NoGradGuard no_grad;
    mask_.fill_(0.5);
  }
  const torch::Tensor& mask() const { return mask_; }

 private:
  torch::Tensor mask_;
};

std::vector<std::int64_t> classes_of(Context& ctx, const Stream& stream) {
  const torch::Tensor y =
      ctx.gather(stream, [](const Batch& b) { return b.labels; }).to(torch::kCPU).flatten();
  std::set<std::int64_t> out;
  for (std::int64_t i = 0; i < y.numel(); ++i) out.insert(static_cast<std::int64_t>(y.data_ptr<float>()[i]));
  return {out.begin(), out.end()};
}

// Phase 1: the student and the mask.
void disentangle(const Options& opt, Context& ctx, const Companion& mask) {
  const Stream all = ctx.mix(ctx.forget(), ctx.retain());
  const torch::Tensor m = dynamic_cast<Mask&>(mask.model()).mask();
  EpochOptions plain, masked;
  plain.lr_scale = masked.lr_scale = opt.erm_lr_scale;
  plain.epoch = masked.epoch = 0;
  masked.companions = {mask};
  masked.companion_penalty = [&](std::size_t, torch::Tensor& gradient) {
    const torch::AutoGradMode with_grad(true);
    const torch::Tensor at = m.detach().clone().requires_grad_(true);
    const auto g = torch::autograd::grad({tasks::entanglement(at) * opt.lambda}, {at})[0];
    gradient.narrow(0, 0, g.numel()).add_(g.flatten());
  };
  masked.companion_after_step = [&] { tasks::clip_mask(m.detach()); };
  for (std::int64_t epoch = 0; epoch < opt.erm_epochs; ++epoch) {
    const bool is_masked = epoch % opt.mask_period == 0;
    ctx.epoch(
        all,
        [&](const Batch& b) -> Terms {
          models::Tensors out = ctx.student(b);
          if (is_masked) {
            const auto head = ctx.head();
            const torch::Tensor rows = mask(models::Tensors{{"labels", b.labels}}).at("mask");
            out["logits"] = at::linear(out.at("pooled") * rows, head.weight, head.bias);
          }
          return {{.name = is_masked ? "masked" : "plain", .loss = ctx.task().loss(out, b.labels)}};
        },
        is_masked ? masked : plain);
  }
}

torch::Tensor channels_to_keep(const Options& opt, const Context& ctx, const torch::Tensor& mask,
                               const torch::Tensor& classes) {
  torch::Tensor keep = tasks::kept_channels(mask, classes, opt.keep_threshold);
  if (keep.sum().item<double>() > 0) return keep;
  ctx.log("erm_ktp: no channel is free of the forgotten classes; keeping those that they use least");
  const torch::Tensor order = mask.index_select(1, classes).sum(1).argsort(true, 0, false);
  return keep.index_fill(0, order.narrow(0, 0, std::max<std::int64_t>(1, mask.size(0) / 10)), 1);
}

// The entries of the flat parameters that are the classifier's.
torch::Tensor head_entries(const Context& ctx) {
  torch::Tensor out = torch::zeros({ctx.layout().size()}, torch::kBool);
  for (const auto& e : ctx.layout().entries)
    if (ctx.is_head(e.name)) out.narrow(0, e.offset, e.numel).fill_(true);
  return out.to(ctx.layout().values.device());
}

torch::Tensor mean_square(const torch::Tensor& x) { return x.to(torch::kFloat).square().flatten(1).mean(1); }

Outcome run(const Options& opt, Context& ctx) {
  if (size_of(ctx.forget()) == 0) return Outcome::kFinished;
  const auto classes = classes_of(ctx, ctx.forget());
  const torch::Tensor erased = torch::tensor(classes, torch::kLong).to(ctx.values().device());
  EXPUNGE_CHECK(ctx.head().weight.defined(), "erm_ktp needs a linear classifier");
  config::OptimizerOptions sgd;
  sgd.name = "sgd";
  sgd.lr = opt.mask_lr;
  const Companion mask = ctx.companion(
      "mask", std::make_shared<Mask>(ctx.head().weight.size(1), ctx.head().weight.size(0)), sgd, false);
  disentangle(opt, ctx, mask);

  const Teacher teacher = ctx.freeze({"features", "pooled"});
  const torch::Tensor keep = ctx.once("keep", [&] {
    return channels_to_keep(opt, ctx, dynamic_cast<Mask&>(mask.model()).mask().detach(), erased);
  });
  const torch::Tensor trained = ctx.once("trained", [&] { return ctx.values().clone(); });
  const torch::Tensor fixed = head_entries(ctx);
  ctx.reinitialize("ktp");
  ctx.update("classifier", [&](torch::Tensor& values) {
    for (std::size_t i = 0; i < ctx.layout().entries.size(); ++i) {
      if (!ctx.is_head(ctx.layout().entries[i].name)) continue;
      torch::Tensor window = ctx.layout().view_of(values, i);
      window.copy_(ctx.layout().view_of(trained, i));
      if (window.dim() > 1) window.mul_(keep);
      window.index_fill_(0, erased, 0);
    }
  });
  const torch::Tensor start = ctx.values().clone();  // only the classifier's entries are read, and they stay
  EpochOptions transfer;
  transfer.penalty = [&](const torch::Tensor&, torch::Tensor& g) { g.masked_fill_(fixed, 0); };
  transfer.after_step = [&](torch::Tensor& values) { values.copy_(torch::where(fixed, start, values)); };
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch) {
    transfer.epoch = epoch;
    ctx.epoch(
        ctx.retain(),
        [&](const Batch& b) -> Terms {
          const models::Tensors known = teacher(b), now = ctx.student(b);
          return {{.name = "features", .loss = mean_square(now.at("features") - known.at("features"))},
                  {.name = "pooled", .loss = mean_square(now.at("pooled") - known.at("pooled") * keep)}};
        },
        transfer);
  }
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace erm_ktp
}  // namespace expunge::methods
