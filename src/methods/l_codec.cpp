// L-CODEC: for each few samples to delete, find the units whose activations explain the loss, take the
// samples out of those units' weights by a Newton step, and add noise.
//   1. Perturb the samples P times (x + scale N(0, I)); record each unit's mean activation and the loss.
//   2. Choose units by conditional dependence (FOCI, stat/dependence.hpp).
//   3. On the weights w of the chosen units: g = grad of the samples' loss,
//      sekhari: H = (n H_o - H_s) / (n - 1),  w <- w + (H + lambda I)^-1 g / (n - 1);
//      cr:      w <- w + (H_s + lambda I)^-1 g;   then w <- w + N(0, sigma^2).
//   4. Undo it when the accuracy on held-out samples fell by more than val_gap_skip.
// H_o, H_s: Fisher matrices of a subset of D_r and of the samples, over all classes of the model's output,
// never formed: the inverse acts through the gradients that span them (Woodbury). Source: Mehta et al. 2022
// (Deep Unlearning via Randomized Conditionally Independent Hessians).
#include <algorithm>

#include "methods/method.hpp"
#include "methods/noise_scale.hpp"
#ifdef EXPUNGE_ENGINE
#include <fmt/format.h>

#include <cmath>

#include "engine/context.hpp"
#include "models/torch/recorder.hpp"
#include "stat/dependence.hpp"
#endif

namespace expunge::methods {
namespace l_codec {

const Descriptor descriptor = {
    .name = "l_codec",
    .summary = "Newton removal on the units that explain a sample's loss",
    .source = "Mehta et al., CVPR 2022 (L-CODEC); Sekhari et al., NeurIPS 2021",
    .copies = 1,
    .taxonomy = {.measure = "loss",
                 .corrupt = "Newton removal",
                 .retain = "none",
                 .parameters = "sparse, internal"},
    .needs = {Need::kLabels, Need::kImages},
    .deviations =
        {"Hessians are Fisher matrices at the current weights: the reference stores gradients of the last "
         "training epochs, and its own sample Hessian comes out as 0",
         "lambda is 0.01: with the reference's 0.001 the noise drowns every weight",
         "activations are standardised before neighbours are sought", "at most max_units are chosen"},
    .noop_on_empty = true,
    .noop_on_zero_lr = false,
    .stops_early = true,
    .refuses = {{"lora", "its units are rows of trained weights"},
                {"superloss", "it takes no training steps"}},
    .plan = {}};

struct Options : MethodOptions {
  std::int64_t perturbations = 1000, deletion_batch = 1, max_units = 16, hessian_samples = 64,
               val_samples = 1000;
  double scale = 0.1, lambda = 0.01, epsilon = 0.1, delta = 0.01, val_gap_skip = 0.05;
  std::string update = "sekhari";
  bool noise = true;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.bn = "frozen";
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.perturbations =
      in.integer("perturbations", opt.perturbations, config::ge(2), "perturbed copies of the samples");
  opt.scale = in.number("scale", opt.scale, config::gt(0), "standard deviation of the perturbation");
  opt.deletion_batch =
      in.integer("deletion_batch", opt.deletion_batch, config::ge(1), "samples that are deleted together");
  opt.max_units = in.integer("max_units", opt.max_units, config::ge(1), "most units chosen for them");
  opt.hessian_samples =
      in.integer("hessian_samples", opt.hessian_samples, config::ge(0), "samples of D_r in the Hessian");
  opt.update = in.choice("update", opt.update, {"sekhari", "cr"}, "which Hessian the step inverts");
  opt.lambda = in.number("lambda", opt.lambda, config::gt(0), "damping of the Hessian");
  opt.noise = in.flag("noise", opt.noise, "add the guarantee's noise");
  opt.epsilon = in.number("epsilon", opt.epsilon, config::gt(0), "epsilon of the guarantee");
  opt.delta = in.number("delta", opt.delta, config::between(0, 1), "delta of the guarantee");
  opt.val_samples = in.integer("val_samples", opt.val_samples, config::ge(0),
                               "held-out samples that watch the accuracy; of D_r where the job has none");
  opt.val_gap_skip = in.number("val_gap_skip", opt.val_gap_skip, config::between(0, 1),
                               "a deletion that costs more accuracy on them is undone");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  if (sizes.forget == 0) return {};
  const auto forget = static_cast<double>(sizes.forget), classes = static_cast<double>(sizes.classes),
             deletions = static_cast<double>(steps_of(sizes.forget, opt.deletion_batch)),
             curvature = static_cast<double>(std::min(opt.hessian_samples, sizes.retain)),
             watched = static_cast<double>(
                 std::min(opt.val_samples, sizes.unseen > 0 ? sizes.unseen : sizes.retain));
  const double from_retain = opt.update == "sekhari" ? deletions * curvature : 0;
  return {{"select", 0, forget * static_cast<double>(opt.perturbations)},
          {"remove", 0, 2 * forget + from_retain, forget * (1 + classes) + from_retain * classes},
          {"watch", 0, (deletions + 1) * watched}};
}

#ifdef EXPUNGE_ENGINE
// Item m * b + i: the i-th of b samples, perturbed for the m-th time.
class Perturbed : public SampleSource {
 public:
  Perturbed(std::vector<std::int64_t> ids, double scale, std::uint64_t seed, const SampleSource& samples)
      : ids_(std::move(ids)), scale_(scale), rng_(seed, "perturb"), samples_(samples) {}
  void load(const std::vector<std::int64_t>& items, std::int64_t, Batch& into) const override {
    std::vector<std::int64_t> ids;
    for (auto item : items) ids.push_back(ids_[static_cast<std::size_t>(item) % ids_.size()]);
    samples_.load(ids, -1, into);
    for (auto& [name, value] : into.inputs) {
      if (!value.is_floating_point()) continue;
      torch::Tensor noise = torch::zeros(value.sizes(), torch::kFloat);
      const std::int64_t width = noise.numel() / std::max<std::int64_t>(1, noise.size(0));
      for (std::size_t i = 0; i < items.size(); ++i) {
        const Rng own = rng_.sub(static_cast<std::uint64_t>(ids[i]))
                            .sub(static_cast<std::uint64_t>(items[i]) / ids_.size());
        float* row = noise.data_ptr<float>() + static_cast<std::int64_t>(i) * width;
        for (std::int64_t j = 0; j < width; ++j)
          row[j] = static_cast<float>(own.normal(static_cast<std::uint64_t>(j)));
      }
      value = value + noise.to(value.device()) * scale_;
    }
  }

 private:
  std::vector<std::int64_t> ids_;
  double scale_;
  Rng rng_;
  const SampleSource& samples_;
};

// Units are the rows of the weights of linear and convolutional layers, in the order of the flat buffer.
struct Units {
  explicit Units(const tensor::FlatBuffer& flat) : layout(flat) {
    for (std::size_t i = 0; i < flat.entries.size(); ++i)
      if (flat.entries[i].shape.size() >= 2) {
        first.push_back(count);
        weights.push_back(i);
        count += flat.entries[i].shape[0];
      }
  }

  // Mean activations [n, count] of the layers that a pass used; 0 for the others.
  torch::Tensor activations(const std::vector<models::LayerUse>& uses, std::int64_t n) const {
    torch::Tensor out = torch::zeros({n, count}, layout.values.options());
    for (const auto& use : uses) {
      if (use.kind != models::LayerUse::kLinear && use.kind != models::LayerUse::kConvolution) continue;
      for (std::size_t w = 0; w < weights.size(); ++w) {
        const auto& e = layout.entries[weights[w]];
        if (use.weight.data_ptr() != layout.values.data_ptr<float>() + e.offset) continue;
        torch::Tensor y = use.output.to(torch::kFloat);
        if (use.kind == models::LayerUse::kConvolution)
          y = y.flatten(2).mean(2);
        else if (y.dim() > 2)
          y = y.flatten(1, -2).mean(1);
        out.narrow(1, first[w], e.shape[0]).copy_(y);
      }
    }
    return out;
  }

  // Flat indices of the chosen units' weights and biases, ascending.
  torch::Tensor indices(const torch::Tensor& chosen) const {
    std::vector<std::int64_t> out;
    const torch::Tensor host = chosen.to(torch::kCPU);
    for (std::int64_t c = 0; c < host.numel(); ++c) {
      const auto unit = static_cast<std::int64_t>(host.data_ptr<float>()[c]);
      const std::size_t w =
          static_cast<std::size_t>(std::upper_bound(first.begin(), first.end(), unit) - first.begin()) - 1;
      const auto& e = layout.entries[weights[w]];
      const std::int64_t row = unit - first[w], width = e.numel / e.shape[0];
      for (std::int64_t j = 0; j < width; ++j) out.push_back(e.offset + row * width + j);
      const auto dot = e.name.rfind("weight");
      if (dot == std::string::npos) continue;
      for (const auto& b : layout.entries)
        if (b.name == e.name.substr(0, dot) + "bias") out.push_back(b.offset + row);
    }
    std::sort(out.begin(), out.end());
    return torch::tensor(out, torch::kLong).to(layout.values.device());
  }

  const tensor::FlatBuffer& layout;
  std::vector<std::size_t> weights;  // entries
  std::vector<std::int64_t> first;   // first unit of each
  std::int64_t count = 0;
};

// (lambda I + sum over rows u of s u u^T)^-1 g, s = 1 for `added` rows and -1 for `taken` ones.
torch::Tensor damped_inverse(const torch::Tensor& added, const torch::Tensor& taken, double lambda,
                             const torch::Tensor& g) {
  const torch::Tensor u = torch::cat({added, taken}).to(torch::kDouble), v = g.to(torch::kDouble);
  const torch::Tensor sign =
      torch::cat({torch::ones({added.size(0)}, u.options()), -torch::ones({taken.size(0)}, u.options())});
  if (u.size(0) == 0) return v / lambda;
  const torch::Tensor inner = at::diag(sign * lambda) + at::mm(u, u.t());
  const torch::Tensor x = at::linalg_solve(inner, at::mv(u, v));
  return (v - at::mv(u.t(), x)) / lambda;
}

struct Deletion {
  const Options& opt;
  Context& ctx;
  const Units& units;
  double samples;  // n
  Stream curvature, watched;
};

Terms fisher_terms(Context& ctx, const Batch& b) {
  const models::Tensors out = ctx.student(b);
  Terms terms;
  for (std::int64_t k = 0; k < ctx.classes(); ++k) {
    const torch::Tensor loss = ctx.task().loss(out, torch::full_like(b.labels, k));
    terms.push_back({.name = "class", .loss = loss * (-loss).detach().exp().sqrt()});
  }
  return terms;
}

// Steps 1 and 2: numbers of the chosen units.
torch::Tensor chosen_units(const Deletion& d, const std::vector<std::int64_t>& ids) {
  const auto b = static_cast<std::int64_t>(ids.size());
  const Stream perturbed =
      d.ctx.of_samples("perturbed", d.opt.perturbations * b,
                       std::make_shared<Perturbed>(ids, d.opt.scale, d.ctx.seed(), d.ctx.samples()));
  return d.ctx.gather(
      perturbed,
      [&](const Batch& batch) {
        models::Recorder recorder;
        const torch::Tensor loss = d.ctx.task().loss(d.ctx.student(batch), batch.labels);
        return torch::cat({d.units.activations(recorder.uses, batch.size()), loss.unsqueeze(1)}, 1);
      },
      [&](const torch::Tensor& rows) {
        const torch::Tensor mean = rows.view({d.opt.perturbations, b, -1}).mean(1).contiguous();
        const torch::Tensor loss = mean.select(1, d.units.count).to(torch::kDouble).contiguous();
        const std::vector<double> y(loss.data_ptr<double>(), loss.data_ptr<double>() + loss.numel());
        // The loss is the last column; it must not explain itself.
        const torch::Tensor a = mean.narrow(1, 0, d.units.count).contiguous();
        const auto chosen =
            stat::select_by_dependence(y, {a.data_ptr<float>(), a.size(0), a.size(1)}, d.opt.max_units);
        return torch::tensor(std::vector<float>(chosen.begin(), chosen.end()));
      });
}

// Step 3: the change of the chosen weights, without noise.
torch::Tensor newton_step(const Deletion& d, const std::vector<std::int64_t>& ids,
                          const torch::Tensor& index) {
  Context& ctx = d.ctx;
  const Stream deleted = ctx.of_ids("deleted", ids);
  const torch::Tensor g = ctx.gather_gradients(
      deleted,
      [&](const Batch& b) -> Terms {
        return {{.name = "sample", .loss = ctx.task().loss(ctx.student(b), b.labels)}};
      },
      index, [](const torch::Tensor& rows) { return rows.mean(0); });
  const auto fisher = [&](const Batch& b) { return fisher_terms(ctx, b); };
  const double b = static_cast<double>(ids.size());
  const torch::Tensor own = ctx.gather_gradients(deleted, fisher, index) / std::sqrt(b);
  const torch::Tensor none = torch::zeros({0, index.numel()}, own.options());
  if (d.opt.update == "cr") return damped_inverse(own, none, d.opt.lambda, g);
  const double n = std::max(2.0, d.samples),
               m = static_cast<double>(std::max<std::int64_t>(1, size_of(d.curvature)));
  return ctx.gather_gradients(d.curvature, fisher, index, [&](const torch::Tensor& rows) {
    const torch::Tensor added = rows.numel() > 0 ? rows * std::sqrt(n / (m * (n - 1))) : none;
    return damped_inverse(added, own / std::sqrt(n - 1), d.opt.lambda, g) / (n - 1);
  });
}

double accuracy(const Deletion& d) {
  if (size_of(d.watched) == 0) return 0;
  return d.ctx
      .gather(
          d.watched, [&](const Batch& b) { return d.ctx.task().correct(d.ctx.student(b), b.labels); },
          [](const torch::Tensor& rows) { return rows.to(torch::kDouble).mean().reshape({1}); })
      .item<double>();
}

Outcome run(const Options& opt, Context& ctx) {
  const SampleIds ids = ctx.forget().sources[0].ids;
  const auto& forget = *ids;
  if (forget.empty()) return Outcome::kFinished;
  const Units units(ctx.layout());
  const Stream held = size_of(ctx.unseen()) > 0 ? ctx.unseen() : ctx.retain();
  const Deletion d{opt,
                   ctx,
                   units,
                   static_cast<double>(forget.size()) + static_cast<double>(size_of(ctx.retain())),
                   ctx.subset(ctx.retain(), opt.hessian_samples, "hessian"),
                   ctx.subset(held, opt.val_samples, "watched")};
  const double sigma = noise_deviation(NewtonRemoval{d.samples, static_cast<double>(opt.deletion_batch),
                                                     opt.lambda, opt.epsilon, std::max(opt.delta, 1e-300)});
  if (opt.noise) ctx.log(fmt::format("l_codec: noise of standard deviation {:.4g}", sigma));
  double before = accuracy(d);
  std::uint64_t deletion = 0;
  const auto each = static_cast<std::size_t>(opt.deletion_batch);
  for (std::size_t at = 0; at < forget.size(); at += each, ++deletion) {
    const std::vector<std::int64_t> ids(
        forget.begin() + static_cast<std::ptrdiff_t>(at),
        forget.begin() + static_cast<std::ptrdiff_t>(std::min(at + each, forget.size())));
    const torch::Tensor chosen = chosen_units(d, ids);
    if (chosen.numel() == 0) continue;
    const torch::Tensor index = units.indices(chosen), step = newton_step(d, ids, index);
    const torch::Tensor old = ctx.once("old", [&] { return ctx.values().index_select(0, index); });
    ctx.update("remove", [&](torch::Tensor& values) {
      torch::Tensor now = old + step.to(torch::kFloat);
      if (opt.noise) {
        const torch::Tensor all = ctx.noise(fmt::format("l_codec.{}", deletion));
        now = now + all.index_select(0, index) * sigma;
      }
      values.index_copy_(0, index, now);
    });
    const double after = accuracy(d);
    if (before - after <= opt.val_gap_skip)
      before = after;
    else
      ctx.update("undo", [&](torch::Tensor& values) { values.index_copy_(0, index, old); });
  }
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace l_codec
}  // namespace expunge::methods
