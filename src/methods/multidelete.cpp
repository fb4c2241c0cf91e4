// MultiDelete: make the pairs of D_f look like pairs that never belonged together, while both towers keep
// what they know of D_f and the fusion keeps what it knows of D_r.
//   L = w_md L_MD + w_mkr L_MKR + w_ukr L_UKR, each a mean of squared differences over samples and elements:
//   L_MD:  fused(student, I_i, T_i)          against fused(original, I_p, T_q),  i in D_f, p and q from D_r,
//          T_q no text of I_p
//   L_UKR: [image; text](student, I_i, T_i)  against the original's,             i in D_f
//   L_MKR: fused(student, I_r, T_r)          against the original's,             r in D_r
// A step takes a batch of D_f and one of D_r; an epoch is one pass over D_f. The model exposes the features
// "image", "text" and "fused" ([n, ...]) of its forward pass; a text input is called "input_ids".
// Source: Cheng and Amiri, MultiDelete, ECCV 2024. A weight of 0 is the paper's ablation.
#include "methods/counting.hpp"
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include <algorithm>

#include "core/rng.hpp"
#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace multidelete {

const Descriptor descriptor = {
    .name = "multidelete",
    .summary = "pairs of D_f imitate unassociated pairs of D_r; towers and D_r's fusion stay",
    .source = "Cheng and Amiri, ECCV 2024",
    .copies = 1,
    .taxonomy = {.measure = "output",
                 .corrupt = "data",
                 .retain = "original",
                 .parameters = "dense, internal"},
    .needs = {Need::kPairs},
    .deviations =
        {"partners are drawn from D_r as the paper says; the released code permutes D_f's own texts "
         "(pairing = \"in_batch\")",
         "the unimodal term covers both towers; the released classification code takes the image alone"},
    .noop_on_empty = true,
    .plan = {}};

struct Options : MethodOptions {
  double w_md = 1, w_mkr = 1, w_ukr = 1;
  std::string pairing = "dr_random";
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.lr = 1e-5;
  defaults.optimizer.weight_decay = 0.05;
  defaults.schedule = "cosine";
  defaults.epochs = 10;
  defaults.batch = 16;
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.w_md = in.number("w_md", opt.w_md, config::ge(0), "weight of modality decoupling on D_f");
  opt.w_mkr = in.number("w_mkr", opt.w_mkr, config::ge(0), "weight of the fused representation on D_r");
  opt.w_ukr = in.number("w_ukr", opt.w_ukr, config::ge(0), "weight of the towers' representations on D_f");
  opt.pairing =
      in.choice("pairing", opt.pairing, {"dr_random", "in_batch"},
                "unassociated pairs: an image and a text of D_r, or D_f's image with the next text");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  const std::int64_t steps = steps_of(sizes.forget, opt.train.batch);
  const auto forget = static_cast<double>(opt.train.epochs * sizes.forget),
             retain =
                 static_cast<double>(opt.train.epochs * cycled_samples(steps, sizes.retain, opt.train.batch));
  const double partners = sizes.retain > 0 || opt.pairing == "in_batch" ? forget : 0;
  return {{"pairs", opt.train.epochs * steps, forget + retain, forget + retain, forget + partners + retain}};
}

#ifdef EXPUNGE_ENGINE

// Mean over all elements but the first dimension of the squared difference: [n].
torch::Tensor distance(const torch::Tensor& a, const torch::Tensor& b) {
  return (a.to(torch::kFloat) - b.to(torch::kFloat).detach()).square().flatten(1).mean(1);
}

torch::Tensor both_towers(const models::Tensors& outputs) {
  return torch::cat({outputs.at("image").flatten(1), outputs.at("text").flatten(1)}, 1);
}

// Where a text belongs to an image. Data sets say so by "image_id" and "caption_id"; without them a sample
// owns its text.
std::vector<bool> associated(const Batch& images, const Batch& texts) {
  std::vector<bool> out(images.ids.size());
  const auto shown = images.inputs.find("image_id"), owner = texts.inputs.find("caption_id");
  if (shown == images.inputs.end() || owner == texts.inputs.end()) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = images.ids[i] == texts.ids[i];
    return out;
  }
  const torch::Tensor same = (shown->second == owner->second).to(torch::kCPU);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = same[static_cast<std::int64_t>(i)].item<bool>();
  return out;
}

// An image and a text of D_r for each sample of b, keyed by (seed, "partner", pass, id), that do not belong
// together (after 16 draws they may: D_r may hold one image only).
Batch unassociated(const Context& ctx, const Batch& b) {
  const SampleIds ids = ctx.retain().sources[0].ids;
  const auto& retained = *ids;
  const Rng rng = Rng(ctx.seed(), "partner").sub(static_cast<std::uint64_t>(b.pass));
  const auto draw = [&](std::int64_t id, std::uint64_t number) {
    return retained[static_cast<std::size_t>(
        rng.below(retained.size(), static_cast<std::uint64_t>(id), number))];
  };
  Batch images, texts;
  for (auto id : b.ids) {
    images.ids.push_back(draw(id, 0));
    texts.ids.push_back(draw(id, 1));
  }
  ctx.samples().load(images.ids, b.pass, images);
  for (std::uint64_t attempt = 2; attempt < 18; ++attempt) {
    ctx.samples().load(texts.ids, b.pass, texts);
    const auto wrong = associated(images, texts);
    if (std::none_of(wrong.begin(), wrong.end(), [](bool w) { return w; })) break;
    for (std::size_t i = 0; i < wrong.size(); ++i)
      if (wrong[i]) texts.ids[i] = draw(b.ids[i], attempt);
  }
  images.inputs["input_ids"] = texts.inputs.at("input_ids");
  return images;
}

// The images of b, each with the text of the next sample of its grain.
Batch deranged(const Batch& b) {
  Batch out = b;
  out.inputs["input_ids"] = b.inputs.at("input_ids").roll(-1, 0);
  return out;
}

Outcome run(const Options& opt, Context& ctx) {
  const Teacher original = ctx.freeze({"image", "text", "fused"});
  const bool partners = opt.pairing == "in_batch" || !ctx.retain().sources[0].ids->empty();
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch)
    ctx.epoch(zip(ctx.forget(), ctx.retain()), [&](const Batch& b) -> Terms {
      const models::Tensors now = ctx.student(b), before = original(b);
      if (b.source == 1)
        return {{.name = "mkr", .loss = distance(now.at("fused"), before.at("fused")), .weight = opt.w_mkr}};
      Terms terms{
          {.name = "ukr", .loss = distance(both_towers(now), both_towers(before)), .weight = opt.w_ukr}};
      if (partners) {
        const models::Tensors loose =
            original(opt.pairing == "in_batch" ? deranged(b) : unassociated(ctx, b));
        terms.push_back(
            {.name = "md", .loss = distance(now.at("fused"), loose.at("fused")), .weight = opt.w_md});
      }
      return terms;
    });
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace multidelete
}  // namespace expunge::methods
