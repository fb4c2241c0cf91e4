// What follows the sum of a step's gradients: norm, clipping, the optimiser. Where only the student trains,
// every rank finishes the step for its slice of the parameters, and the ranks then exchange parameters
// instead of gradients: the same bits, a rank's share of the work, and of the optimiser's state (Rajbhandari
// et al., ZeRO, 2020, stage 1).
#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "engine/context_impl.hpp"
#include "tensor/kernels.hpp"
#include "tensor/optimizer.hpp"
#include "tensor/untouched.hpp"

namespace expunge {

void Context::Impl::check_finite(const char* what, double value) const {
  if (!std::isfinite(value))
    throw Stopped{Outcome::kDiverged, fmt::format("{} is {} at step {}", what, value, global_step + 1)};
}

// A slice must begin where a block of the norm does. Whoever reads the whole gradient (a penalty, a test,
// terms apart) gets it whole.
bool Context::Impl::may_slice(const EpochOptions& options) const {
  if (setup.comm->size() == 1 || setup.native_reduction || setup.inspect || !setup.device.is_cpu())
    return false;
  if (!options.student || !options.companions.empty() || !layout.apart.empty() || options.penalty)
    return false;
  for (int r = 0; r < setup.comm->size(); ++r)
    if (reducer->slice(r).first % tensor::kBlock != 0) return false;
  return true;
}

// The parts are those of the student's gradient, in the order in which it arrives, and what lies behind it.
bool Context::Impl::may_overlap(const EpochOptions& options) const {
  return setup.overlap_sums && setup.comm->size() > 1 && !setup.native_reduction && !layout.sliced &&
         options.student && options.companions.empty() && layout.apart.empty() && layout.gradient > 0;
}

void Context::Impl::cut_parts() {
  if (parts.empty()) parts = setup.parameters->sink().parts(setup.part_floats);
  if (reducer->has_parts()) return;
  std::vector<comm::OrderedSum::Slice> all;
  for (const auto& part : parts) all.push_back({part.first, part.last});
  if (layout.statistics > 0) all.push_back({layout.statistics_at(), layout.size()});
  reducer->set_parts(all, setup.beside);
}

// Collective. The norm of the whole gradient, of which this rank has elements [first, last).
double Context::Impl::sliced_norm(const torch::Tensor& gradient, std::int64_t first, std::int64_t last) {
  const std::int64_t size = gradient.numel();
  const auto blocks_before = [&](std::int64_t at) {
    return (std::min(at, size) + tensor::kBlock - 1) / tensor::kBlock;
  };
  const std::vector<double> mine = tensor::block_squares(gradient, first, last);
  std::vector<std::size_t> bytes;
  for (int r = 0; r < setup.comm->size(); ++r) {
    const auto [from, to] = reducer->slice(r);
    bytes.push_back(static_cast<std::size_t>(blocks_before(to) - blocks_before(from)) * sizeof(double));
  }
  std::vector<double> by_rank(static_cast<std::size_t>(blocks_before(size))), squares(by_rank.size());
  setup.comm->all_gather(mine.data(), by_rank.data(), bytes);
  auto next = by_rank.begin();
  for (int r = 0; r < setup.comm->size(); ++r) {
    const auto count = static_cast<std::ptrdiff_t>(bytes[static_cast<std::size_t>(r)] / sizeof(double));
    std::copy(next, next + count, squares.begin() + blocks_before(reducer->slice(r).first));
    next += count;
  }
  return tensor::norm_of_blocks(squares);
}

void Context::Impl::take_sliced_step(double lr_scale, std::int64_t epoch, const torch::Tensor& leaf,
                                     EpochSums& at) {
  auto& values = setup.parameters->trainable;
  const std::int64_t size = values.size();
  const auto own = reducer->slice(setup.comm->rank());
  const std::int64_t first = std::min(own.first, size), last = std::min(own.last, size);
  const torch::Tensor gradient = leaf.narrow(0, 0, size);
  at.norm = sliced_norm(gradient, first, last);
  check_finite("gradient norm", at.norm);
  at.factor = tensor::schedule_factor(setup.train, schedule_step, setup.total_steps, epoch) * lr_scale;
  if (scattered != reducer) {
    gather_optimizer();
    scattered = reducer;
    for (const auto& [name, state] : optimizer.state()) tensor::release_outside(state, first, last);
  }
  optimizer.step_slice(values, gradient, at.factor, tensor::clip_factor(at.norm, setup.train.clip), first,
                       last);
  reducer->gather(values.values.data_ptr<float>(), 0, size);
  reducer->gather(leaf.data_ptr<float>(), layout.statistics_at(), layout.size());
}

// Collective. Makes the optimiser's state whole on every rank.
void Context::Impl::gather_optimizer() {
  if (!scattered) return;
  for (const auto& [name, state] : optimizer.state())
    scattered->gather(state.data_ptr<float>(), 0, state.numel());
  scattered = nullptr;
}

// Collective. One step of everything that trains.
void Context::Impl::take_step(const EpochOptions& options, std::int64_t epoch, const torch::Tensor& leaf,
                              EpochSums& at) {
  std::int64_t offset = 0;
  if (layout.sliced) {
    take_sliced_step(options.lr_scale, epoch, leaf, at);
  } else if (layout.student) {
    gather_optimizer();
    auto& values = setup.parameters->trainable;
    torch::Tensor gradient = leaf.narrow(0, 0, values.size());
    offset += values.size();
    if (options.penalty) options.penalty(values.values, gradient);
    at.norm = tensor::gradient_norm(gradient);
    check_finite("gradient norm", at.norm);
    at.factor =
        tensor::schedule_factor(setup.train, schedule_step, setup.total_steps, epoch) * options.lr_scale;
    optimizer.step(values, gradient, at.factor, tensor::clip_factor(at.norm, setup.train.clip));
  }
  if (layout.student) {
    modified = true;
    ++schedule_step;
  }
  for (std::size_t i = 0; i < layout.companions.size(); ++i) {
    auto& companion = *layout.companions[i];
    auto& values = companion.parameters->trainable;
    torch::Tensor gradient = leaf.narrow(0, offset, values.size());
    offset += values.size();
    if (options.companion_penalty) options.companion_penalty(i, gradient);
    const double norm = tensor::gradient_norm(gradient);
    check_finite("gradient norm", norm);
    if (!layout.student) at.norm = norm, at.factor = options.lr_scale;
    companion.optimizer->step(values, gradient, options.lr_scale, 1);
  }
}

}  // namespace expunge
