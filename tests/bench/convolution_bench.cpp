// Convolutions as products of matrices beside ATen's, layer by layer of the ResNets:
//
//   ninja -C build convolution_bench && build/bin/convolution_bench [SAMPLES]...     default 8 16 32
//
// Prints milliseconds of forward and backward pass on one thread, ATen in its better order of axes, and what
// the rule of models/torch/matrix_convolution.cpp chooses. No test: it depends on the machine.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "models/torch/matrix_convolution.hpp"

namespace expunge::models {
namespace {

struct Layer {
  std::int64_t in, out, kernel, stride, size;
};
// ResNet-18 at 32 pixels, CIFAR's ResNets, ResNet-18 and -50 at 224 pixels.
constexpr Layer kLayers[] = {
    {3, 64, 7, 2, 32},    {64, 64, 3, 1, 8},    {64, 128, 3, 2, 8},   {64, 128, 1, 2, 8},
    {128, 128, 3, 1, 4},  {128, 256, 3, 2, 4},  {256, 256, 3, 1, 2},  {256, 512, 3, 2, 2},
    {512, 512, 3, 1, 1},  {256, 512, 1, 2, 2},  {16, 16, 3, 1, 32},   {32, 32, 3, 1, 16},
    {64, 64, 3, 1, 56},   {128, 128, 3, 1, 28}, {256, 256, 3, 1, 14}, {256, 512, 3, 2, 14},
    {512, 512, 3, 1, 7},  {256, 64, 1, 1, 56},  {512, 128, 1, 1, 28}, {1024, 256, 1, 1, 14},
    {2048, 512, 1, 1, 7}, {512, 2048, 1, 1, 7}};
constexpr double kSeconds = 0.1;  // of a measurement, the best of three

template <class Work>
double milliseconds(Work&& work) {
  using Clock = std::chrono::steady_clock;
  double best = 1e30;
  work();
  for (int attempt = 0; attempt < 3; ++attempt) {
    const auto start = Clock::now();
    double passed = 0;
    int runs = 0;
    for (; passed < kSeconds; ++runs) {
      work();
      passed = std::chrono::duration<double>(Clock::now() - start).count();
    }
    best = std::min(best, passed / runs);
  }
  return best * 1e3;
}

template <class Convolve>
double both_passes(const torch::Tensor& x, const torch::Tensor& weight, Convolve&& convolve) {
  return milliseconds([&] {
    const torch::Tensor y = convolve(x);
    torch::autograd::grad({y}, {x, weight}, {torch::ones_like(y)});
  });
}

void measure(const Layer& l, std::int64_t samples) {
  const std::int64_t padding = l.kernel / 2;
  const torch::Tensor weight = torch::randn({l.out, l.in, l.kernel, l.kernel}).set_requires_grad(true);
  const torch::Tensor planes = torch::randn({samples, l.in, l.size, l.size}).set_requires_grad(true),
                      innermost =
                          planes.detach().contiguous(at::MemoryFormat::ChannelsLast).set_requires_grad(true);
  const auto aten = [&](const torch::Tensor& x) { return at::conv2d(x, weight, {}, l.stride, padding); };
  const auto matrix = [&](const torch::Tensor& x) {
    return matrix_convolution(x, weight, l.stride, padding);
  };
  const double theirs = std::min(both_passes(planes, weight, aten), both_passes(innermost, weight, aten)),
               ours = both_passes(innermost, weight, matrix);
  fmt::print(
      "{:3} x {:4} -> {:4}, {}x{} over {:3} px by {}: ATen {:8.3f} ms, matrices {:8.3f} ms, {:5.2f} {}\n",
      samples, l.in, l.out, l.kernel, l.kernel, l.size, l.stride, theirs, ours, theirs / ours,
      suits_matrix_convolution(innermost, weight, l.stride, padding) ? "chosen" : "");
  std::fflush(stdout);
}

}  // namespace
}  // namespace expunge::models

int main(int argc, char** argv) {
  at::set_num_threads(1);
  std::vector<std::int64_t> samples;
  for (int i = 1; i < argc; ++i) samples.push_back(std::stoll(argv[i]));
  if (samples.empty()) samples = {8, 16, 32};
  for (const auto n : samples)
    for (const auto& layer : expunge::models::kLayers) expunge::models::measure(layer, n);
}
