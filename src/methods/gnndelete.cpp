// GNNDelete: after each layer l of a graph network stands a deletion matrix W_l that acts on the nodes S_l
// within l hops of a forgotten edge, h'_v = W_l h_v for v in S_l, else h_v. Only the matrices train.
//   DEC_l = mean over (u, v) in D_f of MSE([h'_u ; h'_v], [h0_p ; h0_q]), p and q a random unconnected pair
//   NI_l  = mean over S_l without the ends of D_f of MSE(h'_v, h0_v)
//   L_l   = alpha DEC_l + (1 - alpha) NI_l
// h0: the original's representations on the graph of D_r. layerwise: W_l follows L_l alone, no gradient
// passes from one layer's loss into the matrix before it; together: all matrices follow the sum. A step takes
// a batch of D_f; every pass runs the whole graph, and each edge of D_f speaks for its share of the nodes of
// NI. The model exposes "nodes.SITE" [nodes, width] for its adapter sites, in the order of their names, and
// reads the inputs of engine/graph_source.hpp. Source: Cheng et al. 2023 (GNNDelete).
#include "methods/counting.hpp"
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include <algorithm>
#include <array>
#include <set>

#include "core/error.hpp"
#include "core/rng.hpp"
#include "engine/context.hpp"
#include "methods/runner_registry.hpp"
#endif

namespace expunge::methods {
namespace gnndelete {

const Descriptor descriptor = {
    .name = "gnndelete",
    .summary = "deletion matrices near D_f's edges: their ends look unconnected, other nodes stay",
    .source = "Cheng, Dasoulas, He, Agarwal and Zitnik, ICLR 2023",
    .copies = 1,
    .taxonomy = {.measure = "output",
                 .corrupt = "data",
                 .retain = "original",
                 .parameters = "dense, external"},
    .needs = {Need::kWholeEdges},
    .deviations =
        {"matrices start as the identity; the released code fills them with 1/1000, which destroys the "
         "representations before the first step",
         "no gradient passes between layers in layerwise training; in the released code the second layer's "
         "loss leaks into the first matrix's next step",
         "gradients are those of one step; the released both_all branch never clears them",
         "messages pass along all edges of D_r, whose representations equal those along the edges near D_f",
         "an unconnected pair is a first and a second node of two edges of D_r: the graph has two kinds of "
         "nodes",
         "200 epochs instead of 3000, without validation in between"},
    .noop_on_empty = true,
    .refuses = {{"fusion", "it trains deletion matrices of its own"},
                {"lora", "it trains deletion matrices of its own"},
                {"superloss", "half of its losses are about nodes, not samples"}},
    .plan = {}};

struct Options : MethodOptions {
  double alpha = 0.5;
  std::string gradient = "layerwise";
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.name = "adam";
  defaults.optimizer.lr = 1e-3;
  defaults.schedule = "constant";
  defaults.clip = 0;
  defaults.epochs = 200;
  defaults.batch = 4096;
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.alpha = in.number("alpha", opt.alpha, config::between(0, 1),
                        "weight of the forgotten edges; their neighbourhoods have the rest");
  opt.gradient = in.choice("gradient", opt.gradient, {"layerwise", "together"},
                           "each matrix follows its own layer's loss, or all follow the sum");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  const auto passes = static_cast<double>(opt.train.epochs * sizes.forget);
  return {{"original", 0, 0, 0, sizes.forget > 0 ? 1.0 : 0.0},
          {"forget", opt.train.epochs * steps_of(sizes.forget, opt.train.batch), passes, passes, 0}};
}

#ifdef EXPUNGE_ENGINE
constexpr const char* kPrefix = "deletion";

// h W' on the nodes within `hops` of a forgotten edge.
class Deletion : public models::Insertion {
 public:
  Deletion(std::int64_t width, std::int64_t hops, bool ends_gradient)
      : weight_(register_parameter("weight", torch::eye(width))),
        hops_(hops),
        ends_gradient_(ends_gradient) {}
  torch::Tensor forward(const torch::Tensor& x, const models::Tensors& inputs) override {
    const torch::Tensor near = inputs.at("graph.hops").le(hops_).unsqueeze(1);
    return at::where(near, at::linear(x, weight_).to(x.scalar_type()), x);
  }
  bool ends_gradient() const override { return ends_gradient_; }

 private:
  torch::Tensor weight_;
  std::int64_t hops_;
  bool ends_gradient_;
};

const RegisterPreparation matrices{
    "gnndelete", [](config::Reader& in, models::Model& model, std::uint64_t) -> Trainable {
      const auto sites = model.adapter_sites();
      EXPUNGE_CHECK(!sites.empty(), "the model has no layers to put deletion matrices behind");
      const bool layerwise = read(in).gradient == "layerwise";
      for (std::size_t l = 0; l < sites.size(); ++l)
        model.insert(kPrefix, sites[l].name,
                     std::make_shared<Deletion>(sites[l].width, static_cast<std::int64_t>(l) + 1, layerwise));
      return [](const std::string& name) { return name.rfind(std::string(kPrefix) + ".", 0) == 0; };
    }};

using Node = std::int64_t;
using Nodes = std::vector<Node>;

Nodes on_host(const torch::Tensor& t) {
  const torch::Tensor host = t.to(torch::kCPU).contiguous();
  return {host.data_ptr<Node>(), host.data_ptr<Node>() + host.numel()};
}

Batch batch_of(const Context& ctx, const std::vector<std::int64_t>& ids) {
  Batch b;
  b.ids = ids;
  ctx.samples().load(ids, -1, b);
  return b;
}

Nodes ends_of(const Batch& edges, std::int64_t which) {  // each once
  Nodes out = on_host(edges.inputs.at("edge").select(1, which));
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

// What each forgotten edge is compared with, and which nodes near D_f it speaks for.
class Targets {
 public:
  explicit Targets(const Context& ctx) : ids_(*ctx.forget().sources[0].ids) {
    const Batch forget = batch_of(ctx, ids_);
    choose_partners(ctx, forget);
    hops_ = on_host(forget.inputs.at("graph.hops"));
  }

  // [n, 2] nodes of the pairs that the edges of b shall look like.
  torch::Tensor partners(const Batch& b) const {
    Nodes out;
    for (const auto id : b.ids)
      for (const Node v : partners_[place(id)]) out.push_back(v);
    return torch::tensor(out, torch::kLong).view({-1, 2}).to(b.labels.device());
  }

  // The nodes near D_f that the edges of b speak for, and each one's row in b. Together the edges speak for
  // every node of S_l that is no end of a forgotten edge; `of` is their number.
  struct Near {
    torch::Tensor nodes, rows;
    std::int64_t of = 0;
  };
  Near near(const Batch& b, std::int64_t layer) const {
    Nodes all;
    for (std::size_t v = 0; v < hops_.size(); ++v)
      if (hops_[v] > 0 && hops_[v] <= layer) all.push_back(static_cast<Node>(v));
    Nodes nodes, rows;
    for (std::size_t row = 0; row < b.ids.size(); ++row)
      for (std::size_t i = place(b.ids[row]); i < all.size(); i += ids_.size())
        nodes.push_back(all[i]), rows.push_back(static_cast<Node>(row));
    const auto device = b.labels.device();
    return {torch::tensor(nodes, torch::kLong).to(device), torch::tensor(rows, torch::kLong).to(device),
            static_cast<std::int64_t>(all.size())};
  }
  double edges() const { return static_cast<double>(ids_.size()); }

 private:
  std::size_t place(std::int64_t id) const {
    return static_cast<std::size_t>(std::lower_bound(ids_.begin(), ids_.end(), id) - ids_.begin());
  }

  // Keyed by (seed, "partner", id), drawn once; after 16 draws they may be connected.
  void choose_partners(const Context& ctx, const Batch& forget) {
    const auto retained = ctx.retain().sources[0].ids;  // shared: held while it is read
    const Batch kept = retained->empty() ? forget : batch_of(ctx, *retained);
    const Nodes heads = ends_of(kept, 0), tails = ends_of(kept, 1);
    std::set<std::pair<Node, Node>> connected;
    for (const Batch* edges : {&forget, &kept}) {
      const Nodes ends = on_host(edges->inputs.at("edge").flatten());
      for (std::size_t i = 0; i < ends.size(); i += 2)
        connected.insert({ends[i], ends[i + 1]}), connected.insert({ends[i + 1], ends[i]});
    }
    const Rng rng(ctx.seed(), "partner");
    for (const auto id : ids_) {
      Node p = 0, q = 0;
      for (std::uint64_t attempt = 0; attempt < 16; ++attempt) {
        p = heads[rng.below(heads.size(), static_cast<std::uint64_t>(id), 2 * attempt)];
        q = tails[rng.below(tails.size(), static_cast<std::uint64_t>(id), 2 * attempt + 1)];
        if (p != q && !connected.count({p, q})) break;
      }
      partners_.push_back({p, q});
    }
  }

  std::vector<std::int64_t> ids_;  // of D_f, ascending
  std::vector<std::array<Node, 2>> partners_;
  Nodes hops_;
};

torch::Tensor mean_square(const torch::Tensor& a, const torch::Tensor& b) {
  return (a.to(torch::kFloat) - b).square().flatten(1).mean(1);
}

// The outputs "nodes.SITE" of the layers that a deletion matrix stands behind.
std::vector<std::string> layers_of(const Context& ctx) {
  std::vector<std::string> out;
  const std::string prefix = std::string(kPrefix) + ".", suffix = ".weight";
  for (const auto& entry : ctx.layout().entries)
    if (entry.name.rfind(prefix, 0) == 0)
      out.push_back("nodes." +
                    entry.name.substr(prefix.size(), entry.name.size() - prefix.size() - suffix.size()));
  return out;
}

// Representations of all nodes by the original, layers side by side: no node counts as near D_f. One pass.
torch::Tensor original_nodes(Context& ctx, const std::vector<std::string>& layers) {
  const Teacher original = ctx.freeze(layers);
  const Stream one = ctx.of_ids("forget", {ctx.forget().sources[0].ids->front()});
  torch::Tensor flat = ctx.gather(one, [&](const Batch& b) {
    Batch far = b;
    const torch::Tensor& hops = b.inputs.at("graph.hops");
    far.inputs["graph.hops"] = torch::full_like(hops, hops.numel() + 1);
    const models::Tensors known = original(far);
    std::vector<torch::Tensor> values;
    for (const auto& name : layers) values.push_back(known.at(name).to(torch::kFloat));
    return at::cat(values, 1).view({1, -1});
  });
  const auto nodes = batch_of(ctx, {ctx.forget().sources[0].ids->front()}).inputs.at("graph.hops").numel();
  return flat.view({nodes, -1});
}

Outcome run(const Options& opt, Context& ctx) {
  if (size_of(ctx.forget()) == 0) return Outcome::kFinished;
  const auto layers = layers_of(ctx);
  const torch::Tensor before = original_nodes(ctx, layers);
  const Targets targets(ctx);
  const auto loss = [&](const Batch& b) -> Terms {
    const torch::Tensor partners = targets.partners(b).flatten(), ends = b.inputs.at("edge").flatten();
    Terms terms;
    std::int64_t layer = 0, at = 0;
    const models::Tensors student = ctx.student(b);
    for (const auto& name : layers) {
      const torch::Tensor& now = student.at(name);
      const torch::Tensor known = before.narrow(1, at, now.size(1));
      at += now.size(1);
      const auto pairs = [&](const torch::Tensor& of, const torch::Tensor& nodes) {
        return of.index_select(0, nodes).view({b.size(), -1});
      };
      terms.push_back({.name = "edges." + name,
                       .loss = mean_square(pairs(now, ends), pairs(known, partners)),
                       .weight = opt.alpha});
      const auto near = targets.near(b, ++layer);
      if (near.of == 0) continue;
      const torch::Tensor moved =
          mean_square(now.index_select(0, near.nodes), known.index_select(0, near.nodes));
      terms.push_back({.name = "near." + name,
                       .loss = torch::zeros({b.size()}, moved.options()).index_add(0, near.rows, moved),
                       .weight = (1 - opt.alpha) * targets.edges() / static_cast<double>(near.of)});
    }
    return terms;
  };
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch) ctx.epoch(ctx.forget(), loss);
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace gnndelete
}  // namespace expunge::methods
