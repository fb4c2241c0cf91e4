// Efficient unlearning for language models (EUL): freeze the network, insert small adapters after its blocks,
// and train only them,
//   L = alpha mean over R of KL(f0 || f) - mean over F of KL(f0 || f) + lambda mean over R of loss
//       - gamma mean over F of loss.
// Source: Chen and Yang 2023; weights from memory of the paper, whose repository contains no unlearning code.
// Each step has one batch of D_r and one of D_f; an epoch is one pass over D_r. Adapters start as the
// identity, where the divergences have no gradient: the task losses move them first. In classification the
// language-model loss is the task loss.
// Where D_f arrives in several requests, each trains adapters of its own from the start; then those of all
// requests so far are fused, matrix by matrix (tensor/fusion.hpp), over what each reads on its part of D_f.
#include "methods/counting.hpp"
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include <algorithm>

#include "core/error.hpp"
#include "engine/context.hpp"
#include "methods/runner_registry.hpp"
#include "models/torch/recorder.hpp"
#include "tensor/fusion.hpp"
#endif

namespace expunge::methods {
namespace eul {

const Descriptor descriptor = {
    .name = "eul",
    .summary = "train adapters that leave the original on D_f and stay with it on D_r",
    .source = "Chen and Yang, EMNLP 2023 (Unlearn What You Want to Forget)",
    .copies = 2,
    .taxonomy = {.measure = "loss and output",
                 .corrupt = "gradient",
                 .retain = "original and true labels",
                 .parameters = "dense, external"},
    .needs = {Need::kHead},
    .deviations = {"loss weights are from memory of the paper: its repository has no unlearning code",
                   "convolutional networks have an adapter after each stage or block, on channels",
                   "fusion: the ridge draws directions without inputs to the mean of the adapters, not to 0; "
                   "biases are fused as weights of a constant input"},
    .refuses = {{"fusion", "it trains adapters of its own"}, {"lora", "it trains adapters of its own"}},
    .plan = {}};

struct Options : MethodOptions {
  double alpha = 0.8, lambda = 1, gamma = 0.2;
  std::int64_t width = 16;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.lr = 5e-5;
  defaults.epochs = 1;
  defaults.batch = 8;
  defaults.bn = "frozen";
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.alpha = in.number("alpha", opt.alpha, config::ge(0), "weight of the divergence on D_r");
  opt.lambda = in.number("lambda", opt.lambda, config::ge(0), "weight of the task loss on D_r");
  opt.gamma = in.number("gamma", opt.gamma, config::ge(0), "weight of the ascended loss on D_f");
  opt.width = in.integer("width", opt.width, config::ge(1), "inner width of the adapters");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  const std::int64_t steps = steps_of(sizes.retain, opt.train.batch);
  const std::int64_t samples = sizes.retain + cycled_samples(steps, sizes.forget, opt.train.batch);
  const auto passes = static_cast<double>(opt.train.epochs * samples);
  return {{"retain and forget", opt.train.epochs * steps, passes, passes, passes}};
}

#ifdef EXPUNGE_ENGINE
constexpr const char* kPrefix = "unlearning_layer";

const RegisterPreparation adapters{
    "eul", [](config::Reader& in, models::Model& model, std::uint64_t seed) -> Trainable {
      EXPUNGE_CHECK(!model.adapter_sites().empty(), "the model has no place for adapters");
      model.insert_adapters(kPrefix, read(in).width, Rng(seed, "adapter"));
      return [](const std::string& name) { return name.rfind(kPrefix, 0) == 0; };
    }};

// The linear maps of the adapters, by the places of their weight and bias in the flat parameters.
struct Map {
  std::size_t weight, bias;
};

std::vector<Map> maps_of(const Context& ctx) {
  const auto& entries = ctx.layout().entries;
  const auto place_of = [&](const std::string& name) {
    for (std::size_t i = 0; i < entries.size(); ++i)
      if (entries[i].name == name) return i;
    throw InternalError(fmt::format("no tensor {}", name));
  };
  std::vector<Map> out;
  for (std::size_t i = 0; i < entries.size(); ++i)
    if (const auto at = entries[i].name.rfind(".weight"); at != std::string::npos)
      out.push_back({i, place_of(entries[i].name.substr(0, at) + ".bias")});
  return out;
}

// [in + 1, out]: the bias is the weight of a constant input.
torch::Tensor matrix_of(const Context& ctx, const torch::Tensor& values, const Map& map) {
  const auto& layout = ctx.layout();
  return at::cat({layout.view_of(values, map.weight).t(), layout.view_of(values, map.bias).unsqueeze(0)}, 0);
}

// Sum over D_f's positions of x x', [in + 1, in + 1], x being what the map reads and a constant 1.
torch::Tensor gram_of(Context& ctx, const Map& map) {
  constexpr std::size_t kChunk = 64;  // samples of which the products are held at a time
  const void* weight = ctx.layout().view_of(ctx.values(), map.weight).data_ptr();
  const auto held = ctx.forget().sources[0].ids;  // shared: held while it is read
  const std::vector<std::int64_t>& ids = *held;
  torch::Tensor sum;
  for (std::size_t at = 0; at < ids.size(); at += kChunk) {
    const std::vector<std::int64_t> some(
        ids.begin() + static_cast<std::ptrdiff_t>(at),
        ids.begin() + static_cast<std::ptrdiff_t>(std::min(ids.size(), at + kChunk)));
    const torch::Tensor part = ctx.gather(
        ctx.of_ids("forget", some),
        [&](const Batch& b) {
          models::Recorder recorder;
          ctx.student(b);
          for (const auto& use : recorder.uses) {
            if (use.weight.data_ptr() != weight) continue;
            torch::Tensor x = use.input.detach().to(torch::kFloat);
            // A graph's nodes belong to the pass: its samples share them.
            const bool shared = x.size(0) != b.size();
            x = shared ? x.unsqueeze(0) : x.reshape({b.size(), -1, x.size(-1)});
            x = at::cat({x, torch::ones_like(x.narrow(2, 0, 1))}, 2);
            const torch::Tensor products = at::bmm(x.transpose(1, 2), x).flatten(1);
            return shared ? products.expand({b.size(), -1}) / static_cast<double>(b.size()) : products;
          }
          throw InternalError("an adapter was not used");
        },
        [](const torch::Tensor& rows) { return rows.sum(0, true, torch::kDouble); });
    sum = sum.defined() ? sum + part.to(torch::kDouble) : part.to(torch::kDouble);
  }
  const std::int64_t width = ctx.layout().view_of(ctx.values(), map.weight).size(1) + 1;
  return (sum.defined() ? sum : torch::zeros({width * width}, torch::kDouble)).view({width, width});
}

// Leaves this request's adapters to later ones and puts the fusion of all so far in their place.
void fuse_requests(Context& ctx) {
  const auto maps = maps_of(ctx);
  const auto name = [](const char* what, std::int64_t request, std::size_t map) {
    return fmt::format("{}.{}.{}", what, request, map);
  };
  const torch::Tensor trained = ctx.once("trained", [&] { return ctx.values().clone(); });
  for (std::size_t m = 0; m < maps.size(); ++m) {
    ctx.carry(name("gram", ctx.request(), m), gram_of(ctx, maps[m]));
    ctx.carry(name("map", ctx.request(), m), matrix_of(ctx, trained, maps[m]));
  }
  ctx.update("fusion", [&](torch::Tensor& values) {
    for (std::size_t m = 0; m < maps.size(); ++m) {
      std::vector<torch::Tensor> grams, versions;
      for (std::int64_t request = 0; request <= ctx.request(); ++request) {
        grams.push_back(ctx.carried(name("gram", request, m)));
        versions.push_back(ctx.carried(name("map", request, m)));
      }
      const torch::Tensor fused = tensor::fuse(grams, versions);
      const std::int64_t in = fused.size(0) - 1;
      ctx.layout().view_of(values, maps[m].weight).copy_(fused.narrow(0, 0, in).t());
      ctx.layout().view_of(values, maps[m].bias).copy_(fused[in]);
    }
  });
}

Outcome run(const Options& opt, Context& ctx) {
  const bool several = ctx.requests() > 1;
  if (several && ctx.request() == 0)
    ctx.carry("fresh", ctx.once("fresh", [&] { return ctx.values().clone(); }));
  if (ctx.request() > 0)
    ctx.update("fresh", [&](torch::Tensor& values) { values.copy_(ctx.carried("fresh")); });
  const Teacher original = ctx.freeze();
  constexpr std::size_t kRetain = 0;
  const Stream both = zip(ctx.retain(), ctx.forget());
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch)
    ctx.epoch(both, [&](const Batch& b) -> Terms {
      const models::Tensors student = ctx.student(b);
      const torch::Tensor divergence = ctx.task().divergence(original(b), student),
                          loss = ctx.task().loss(student, b.labels);
      if (b.source == kRetain)
        return {{.name = "stay", .loss = divergence, .weight = opt.alpha},
                {.name = "retain", .loss = loss, .weight = opt.lambda}};
      return {{.name = "away", .loss = divergence, .weight = -1},
              {.name = "forget", .loss = loss, .weight = -opt.gamma}};
    });
  if (several) fuse_requests(ctx);
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace eul
}  // namespace expunge::methods
