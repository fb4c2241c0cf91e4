#include "tensor/flop_counter.hpp"

#include <ATen/record_function.h>

#include <array>
#include <atomic>
#include <mutex>
#include <string_view>

#include "tensor/torch.hpp"

// LibTorch is built with NDEBUG; without it here, RecordFunction::inputs() throws, the exception is swallowed
// and nothing is counted.
#ifndef NDEBUG
#error "compile with -DNDEBUG, like LibTorch"
#endif

namespace expunge::tensor {
namespace {

using Inputs = c10::ArrayRef<const c10::IValue>;
constexpr std::array<std::string_view, 7> kCounted = {"aten::mm",
                                                      "aten::bmm",
                                                      "aten::addmm",
                                                      "aten::addbmm",
                                                      "aten::baddbmm",
                                                      "aten::convolution",
                                                      "aten::convolution_backward"};

std::atomic<std::int64_t> total{0};
thread_local int depth = 0;  // inside a counted operator: what it calls is its own

// Products of `kernel` with every output position: 2 * positions * (C_in / groups) * C_out * kernel size.
std::int64_t convolution_flops(const at::Tensor& weight, const at::Tensor& output_like,
                               const at::Tensor& input, bool transposed) {
  const at::Tensor& positions = transposed ? input : output_like;
  return 2 * positions.numel() / positions.size(1) * weight.numel();
}

// [n, C_out, ...] of a convolution's output, from its arguments.
std::int64_t output_positions(const at::Tensor& input, const at::Tensor& weight,
                              const std::vector<std::int64_t>& stride,
                              const std::vector<std::int64_t>& padding,
                              const std::vector<std::int64_t>& dilation) {
  std::int64_t out = input.size(0);
  for (std::size_t i = 0; i < static_cast<std::size_t>(weight.dim() - 2); ++i) {
    const auto of = [&](const std::vector<std::int64_t>& v) { return v[v.size() == 1 ? 0 : i]; };
    const auto d = static_cast<std::int64_t>(i) + 2;
    out *= (input.size(d) + 2 * of(padding) - of(dilation) * (weight.size(d) - 1) - 1) / of(stride) + 1;
  }
  return out;
}

// convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)
std::int64_t forward_flops(Inputs in) {
  const at::Tensor &input = in[0].toTensor(), &weight = in[1].toTensor();
  if (in[6].toBool()) return convolution_flops(weight, input, input, true);
  return 2 * weight.numel() *
         output_positions(input, weight, in[3].toIntVector(), in[4].toIntVector(), in[5].toIntVector());
}

// convolution_backward(grad_output, input, weight, bias_sizes, stride, padding, dilation, transposed,
// output_padding, groups, output_mask)
std::int64_t backward_flops(Inputs in) {
  const std::int64_t one =
      convolution_flops(in[2].toTensor(), in[0].toTensor(), in[1].toTensor(), in[7].toBool());
  const auto mask = in[10].toBoolList();
  return (mask.get(0) ? one : 0) +
         (mask.get(1) ? one : 0);  // gradients of input and weight; the bias costs no product
}

std::int64_t flops_of(std::string_view name, Inputs in) {
  if (name == "aten::convolution") return forward_flops(in);
  if (name == "aten::convolution_backward") return backward_flops(in);
  const std::size_t first =
      name.substr(0, 9) == "aten::add" || name == "aten::baddbmm" ? 1 : 0;  // the summand comes first
  const at::Tensor &a = in[first].toTensor(), &b = in[first + 1].toTensor();
  return 2 * a.numel() * b.size(-1);  // [.., m, k] x [.., k, n]
}

struct Inside : at::ObserverContext {};

std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction& call) {
  const std::string_view name = call.name();
  for (const auto counted : kCounted) {
    if (name != counted) continue;
    if (depth++ == 0) total += flops_of(name, call.inputs());
    return std::make_unique<Inside>();
  }
  return nullptr;
}

void leave(const at::RecordFunction&, at::ObserverContext* context) {
  if (context) --depth;
}

std::mutex registration;
int counters = 0;
at::CallbackHandle handle = 0;

}  // namespace

FlopCounter::FlopCounter() {
  const std::lock_guard lock(registration);
  if (counters++ == 0)
    handle = at::addGlobalCallback(
        at::RecordFunctionCallback(enter, leave).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  start_ = total;
}

FlopCounter::~FlopCounter() {
  const std::lock_guard lock(registration);
  if (--counters == 0) at::removeCallback(handle);
}

std::int64_t FlopCounter::flops() const { return total - start_; }

}  // namespace expunge::tensor
