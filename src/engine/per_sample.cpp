// Gradients of single samples, squared and summed, or at chosen places. Where every trainable parameter
// belongs to one layer that reports to the recorder, one backward pass to the layers' outputs serves the
// whole grain: the gradient of sample i is a product of what went into the layer and what came back
// (Goodfellow 2015, "Efficient per-example gradient computations"; Rochette et al. 2019 for convolutions).
// Elsewhere each sample has a pass of its own.
#include <algorithm>
#include <set>
#include <tuple>

#include "core/error.hpp"
#include "engine/context_impl.hpp"
#include "models/torch/recorder.hpp"

namespace expunge {
namespace {

using models::LayerUse;

constexpr std::int64_t kChunk = std::int64_t{1} << 22;  // floats of per-sample gradients held at once

// Sums x [n, ...] over all dimensions but 0 and `keep`.
torch::Tensor sum_but(const torch::Tensor& x, std::int64_t keep) {
  std::vector<std::int64_t> over;
  for (std::int64_t d = 1; d < x.dim(); ++d)
    if (d != keep) over.push_back(d);
  return over.empty() ? x : x.sum(over);
}

// into += sum over samples of per_sample(first, count)^2, in chunks of samples.
template <class PerSample>
void add_squared(torch::Tensor into, std::int64_t n, PerSample&& per_sample) {
  const std::int64_t each = std::max<std::int64_t>(1, kChunk / std::max<std::int64_t>(1, into.numel()));
  for (std::int64_t at = 0; at < n; at += each) {
    const torch::Tensor g = per_sample(at, std::min(each, n - at));  // [count, ...]
    into.add_(g.reshape({g.size(0), -1}).square_().sum(0).view(into.sizes()));
  }
}

// A sample's gradient at a row of the table is the sum over the places that hold the row's id.
void add_embedding(const LayerUse& use, const torch::Tensor& g, torch::Tensor weight) {
  for (std::int64_t i = 0; i < g.size(0); ++i) {
    const auto [ids, places] = at::_unique(use.input[i].flatten(), true, true);
    const torch::Tensor rows = torch::zeros({ids.numel(), weight.size(1)}, g.options());
    rows.index_add_(0, places.flatten(), g[i].reshape({-1, weight.size(1)}));
    if (use.dim >= 0) rows.mul_(ids.ne(use.dim).to(rows.scalar_type()).unsqueeze(1));
    weight.index_add_(0, ids, rows.square_());
  }
}

// x [n, C, H, W] as one image of n * C channels.
torch::Tensor side_by_side(const torch::Tensor& x) {
  return x.reshape({1, x.size(0) * x.size(1), x.size(2), x.size(3)});
}

// Gradients of a convolution's weight [O, ...] for each sample: [n, O * ...]. Every sample is a group of one
// convolution.
torch::Tensor convolution_gradients(const LayerUse& use, const torch::Tensor& weight, const torch::Tensor& g,
                                    const torch::Tensor& x) {
  return std::get<1>(at::convolution_backward(
                         side_by_side(g), side_by_side(x), weight.repeat({g.size(0), 1, 1, 1}), {},
                         {use.stride, use.stride}, {use.padding, use.padding}, {use.dilation, use.dilation},
                         false, {0, 0}, g.size(0) * use.groups, {false, true, false}))
      .reshape({g.size(0), -1});
}

// Gradients of these rows [r] of a layer's weight for each sample: [n, r * row].
torch::Tensor gradients_of_rows(const LayerUse& use, const torch::Tensor& g, const torch::Tensor& x,
                                const torch::Tensor& rows) {
  const std::int64_t n = g.size(0);
  if (use.kind == LayerUse::kConvolution && use.groups == 1)
    return convolution_gradients(use, use.weight.detach().index_select(0, rows), g.index_select(1, rows), x);
  if (use.kind == LayerUse::kConvolution)
    return convolution_gradients(use, use.weight.detach(), g, x)
        .view({n, use.weight.size(0), -1})
        .index_select(1, rows)
        .reshape({n, -1});
  const torch::Tensor gt = g.index_select(-1, rows).reshape({n, -1, rows.numel()}).transpose(1, 2);
  return at::bmm(gt, x.reshape({n, -1, x.size(-1)})).reshape({n, -1});
}

// Places of one parameter that a gathering asks for.
struct Wanted {
  const LayerUse* use = nullptr;
  bool bias = false;
  torch::Tensor rows;       // [r] of its first dimension, ascending
  torch::Tensor columns;    // [k] among the rows' gradients
  torch::Tensor positions;  // [k] in what is asked for
};

// For each parameter that has places in `index`: the layer that used it. Nothing where one was not used once,
// by a linear or convolutional layer with the samples along dimension 0.
std::optional<std::vector<Wanted>> wanted_of(const tensor::FlatBuffer& flat, const torch::Tensor& index,
                                             const std::vector<LayerUse>& uses, std::int64_t samples) {
  std::map<std::size_t, std::vector<std::pair<std::int64_t, std::int64_t>>> places;  // offset, position
  const torch::Tensor host = index.to(torch::kCPU).contiguous();
  for (std::int64_t k = 0; k < host.numel(); ++k) {
    const std::int64_t at = host.data_ptr<std::int64_t>()[k];
    const auto behind = std::upper_bound(flat.entries.begin(), flat.entries.end(), at,
                                         [](std::int64_t a, const auto& e) { return a < e.offset; });
    const auto entry = static_cast<std::size_t>(behind - flat.entries.begin()) - 1;
    places[entry].emplace_back(at - flat.entries[entry].offset, k);
  }
  std::vector<Wanted> out;
  for (const auto& [entry, asked] : places) {
    const auto& e = flat.entries[entry];
    const void* address = static_cast<const char*>(flat.values.data_ptr()) + e.offset * sizeof(float);
    Wanted w;
    int used = 0;
    for (const LayerUse& use : uses) {
      const bool weight = use.weight.defined() && use.weight.data_ptr() == address,
                 bias = use.bias.defined() && use.bias.data_ptr() == address;
      if (!weight && !bias) continue;
      const bool known = use.kind == LayerUse::kLinear || use.kind == LayerUse::kConvolution;
      if (!known || use.output.size(0) != samples || ++used > 1) return std::nullopt;
      w.use = &use, w.bias = bias;
    }
    if (used == 0) return std::nullopt;
    const std::int64_t width = e.numel / e.shape[0];
    std::vector<std::int64_t> rows, columns, positions;
    for (const auto& [offset, position] : asked) rows.push_back(offset / width);
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    for (const auto& [offset, position] : asked) {
      const auto row = std::lower_bound(rows.begin(), rows.end(), offset / width) - rows.begin();
      columns.push_back(row * width + offset % width);
      positions.push_back(position);
    }
    const auto on_device = [&](const std::vector<std::int64_t>& v) {
      return torch::tensor(v, torch::kLong).to(flat.values.device());
    };
    w.rows = on_device(rows), w.columns = on_device(columns), w.positions = on_device(positions);
    out.push_back(std::move(w));
  }
  return out;
}

// Adds the squares of one layer's per-sample gradients; `back` is the gradient at its output.
void add_layer(const LayerUse& use, const torch::Tensor& back, torch::Tensor weight, torch::Tensor bias) {
  const torch::Tensor g = back.to(torch::kFloat);
  const torch::Tensor x = use.input.defined() && use.input.is_floating_point()
                              ? use.input.detach().to(torch::kFloat)
                              : torch::Tensor();
  const std::int64_t n = g.size(0);
  const auto rows = [](const torch::Tensor& t, std::int64_t at, std::int64_t count) {
    return t.narrow(0, at, count);
  };
  switch (use.kind) {
    case LayerUse::kLinear: {
      if (weight.defined() && g.dim() == 2) {
        weight.add_(at::mm(g.square().t(), x.square()));
      } else if (weight.defined()) {
        const torch::Tensor gt = g.flatten(1, -2).transpose(1, 2), xt = x.flatten(1, -2);
        add_squared(weight, n,
                    [&](auto at, auto count) { return at::bmm(rows(gt, at, count), rows(xt, at, count)); });
      }
      if (bias.defined()) bias.add_(sum_but(g, g.dim() - 1).square().sum(0));
      return;
    }
    case LayerUse::kConvolution: {
      if (weight.defined())
        add_squared(weight, n, [&](auto at, auto count) {
          return convolution_gradients(use, use.weight.detach(), rows(g, at, count), rows(x, at, count));
        });
      if (bias.defined()) bias.add_(sum_but(g, 1).square().sum(0));
      return;
    }
    case LayerUse::kScale: {
      if (weight.defined()) weight.add_(sum_but(g * x, use.dim).square().sum(0));
      if (bias.defined()) bias.add_(sum_but(g, use.dim).square().sum(0));
      return;
    }
    case LayerUse::kEmbedding:
      if (weight.defined()) add_embedding(use, g, weight);
      return;
    case LayerUse::kBroadcast:
      if (weight.defined()) weight.add_(g.square().sum(0, true));
      return;
    case LayerUse::kShared:
      return;
  }
}

}  // namespace

bool Context::Impl::add_squares_by_layer(const LossFunction& loss, const Batch& b, torch::Tensor into,
                                         double& value) {
  models::Recorder recorder;
  const Terms terms = loss(b);
  const auto& flat = setup.parameters->trainable;
  std::map<const void*, torch::Tensor> windows;  // by the parameter's address
  for (std::size_t i = 0; i < flat.entries.size(); ++i)
    windows[static_cast<const char*>(flat.values.data_ptr()) + flat.entries[i].offset * sizeof(float)] =
        flat.view_of(into, i);
  const auto window_of = [&](const torch::Tensor& parameter) {
    const auto found = parameter.defined() ? windows.find(parameter.data_ptr()) : windows.end();
    return found == windows.end() ? torch::Tensor() : found->second;
  };

  // Each trainable parameter in exactly one use; the samples along dimension 0 of every use.
  std::set<const void*> seen;
  std::vector<const LayerUse*> uses;
  std::vector<torch::Tensor> outputs;
  bool covered = true;
  for (const LayerUse& use : recorder.uses) {
    const bool counts = window_of(use.weight).defined() || window_of(use.bias).defined();
    if (!counts || !use.output.requires_grad()) continue;
    covered &= use.kind != LayerUse::kShared && use.output.size(0) == b.size();
    for (const torch::Tensor& p : {use.weight, use.bias})
      if (window_of(p).defined()) covered &= seen.insert(p.data_ptr()).second;
    uses.push_back(&use);
    outputs.push_back(use.output);
  }
  if (!covered || seen.size() != windows.size()) return false;

  for (std::size_t t = 0; t < terms.size(); ++t) {
    value += terms[t].loss.detach().sum().to(torch::kDouble).item<double>();
    if (!terms[t].loss.requires_grad()) continue;
    const auto back =
        torch::autograd::grad({terms[t].loss.sum()}, outputs, {}, t + 1 < terms.size(), false, true);
    const torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < uses.size(); ++i)
      if (back[i].defined())
        add_layer(*uses[i], back[i], window_of(uses[i]->weight), window_of(uses[i]->bias));
    grain_backward += static_cast<double>(b.size());
  }
  return true;
}

std::optional<torch::Tensor> Context::Impl::gradients_by_layer(const LossFunction& loss, const Batch& b,
                                                               const torch::Tensor& index) {
  models::Recorder recorder;
  const Terms terms = loss(b);
  const auto wanted = wanted_of(setup.parameters->trainable, index, recorder.uses, b.size());
  if (!wanted) return std::nullopt;
  std::vector<torch::Tensor> outputs;
  for (const Wanted& w : *wanted) outputs.push_back(w.use->output);
  torch::Tensor out = torch::zeros({b.size(), std::ssize(terms), index.numel()},
                                   setup.parameters->trainable.values.options());
  for (std::size_t t = 0; t < terms.size(); ++t) {
    grain_backward += static_cast<double>(b.size());
    if (!terms[t].loss.requires_grad() || outputs.empty()) continue;
    const auto back =
        torch::autograd::grad({terms[t].loss.sum()}, outputs, {}, t + 1 < terms.size(), false, true);
    const torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < wanted->size(); ++i) {
      if (!back[i].defined()) continue;
      const Wanted& w = (*wanted)[i];
      const torch::Tensor g = back[i].to(torch::kFloat);
      const std::int64_t units = w.use->kind == LayerUse::kConvolution ? 1 : g.dim() - 1;
      const torch::Tensor found =
          w.bias ? sum_but(g, units).index_select(1, w.rows)
                 : gradients_of_rows(*w.use, g, w.use->input.detach().to(torch::kFloat), w.rows);
      out.select(1, static_cast<std::int64_t>(t))
          .index_copy_(1, w.positions, found.index_select(1, w.columns));
    }
  }
  return out;
}

void Context::Impl::forget_grain() { grain_student = grain_teacher = grain_backward = grain_kept = 0; }

double Context::Impl::add_squares(const LossFunction& loss, const Batch& b, torch::Tensor into) {
  EXPUNGE_CHECK(layout.student && layout.companions.empty(), "per-sample gradients are the student's");
  double value = 0;
  if (layers_cover_parameters.value_or(true)) {
    layers_cover_parameters = add_squares_by_layer(loss, b, into, value);
    if (*layers_cover_parameters) return value;
    forget_grain();
    value = 0;
  }
  torch::Tensor gradient = torch::zeros_like(into);
  setup.parameters->bind_gradients(gradient);
  const auto device = b.labels.device();
  for (std::int64_t i = 0; i < b.size(); ++i) {
    const Batch one = rows_of(b, torch::tensor({i}, torch::kLong).to(device));
    const Terms terms = loss(one);
    for (std::size_t t = 0; t < terms.size(); ++t) {
      value += terms[t].loss.detach().sum().to(torch::kDouble).item<double>();
      if (!terms[t].loss.requires_grad()) continue;
      gradient.zero_();
      terms[t].loss.sum().backward({}, t + 1 < terms.size());
      into.addcmul_(gradient, gradient);
      grain_backward += 1;
    }
  }
  return value;
}

}  // namespace expunge
