// Layers that write their gradients in place, beside ATen's: values, gradients handed on, gradients in a
// sink.
#include "models/torch/in_place.hpp"

#include <gtest/gtest.h>

#include <functional>

#include "models/torch/matrix_convolution.hpp"
#include "tensor/flat_parameters.hpp"

namespace expunge::models {
namespace {

using torch::Tensor;
using Function = std::function<Tensor(const Tensor& x, const Tensor& weight)>;

constexpr double kRelative = 1e-5, kAbsolute = 1e-5;  // sums of some hundred products in another order

bool close(const Tensor& a, const Tensor& b) {
  return a.sizes() == b.sizes() && at::allclose(a, b, kRelative, kAbsolute);
}

struct Gradients {
  Tensor value, of_x, of_weight;
};

// With what looks like a loss: a fixed weight on each output.
Gradients gradients(const Function& f, const Tensor& x, const Tensor& weight) {
  const Tensor in = x.detach().clone().set_requires_grad(x.is_floating_point()),
               w = weight.detach().clone().set_requires_grad(true);
  const Tensor y = f(in, w);
  (y * torch::linspace(-1, 1, y.numel()).view(y.sizes())).sum().backward();
  return {y.detach(), in.grad(), w.grad()};
}

struct OneWeight : torch::nn::Module {
  explicit OneWeight(const Tensor& start) : weight(register_parameter("weight", start.clone())) {}
  Tensor weight;
};

// The same backward pass into a sink that replaces and into one that adds.
void expect_in_sink(const Function& f, const Tensor& x, const Tensor& weight) {
  OneWeight net(weight);
  tensor::FlatParameters flat(
      net, torch::kCPU, [](const std::string&) { return true; }, "all");
  const auto run = [&](tensor::GradientSink::Write how, Tensor buffer) {
    flat.sink().open(buffer, how);
    const Tensor y = f(x, net.weight);
    (y * torch::linspace(-1, 1, y.numel()).view(y.sizes())).sum().backward();
    flat.sink().close();
    return flat.trainable.view_of(buffer, 0).clone();
  };
  const Tensor apart = gradients(f, x, weight).of_weight;
  const Tensor garbage = torch::full_like(flat.trainable.values, 7);
  EXPECT_TRUE(run(tensor::GradientSink::Write::kReplace, garbage).equal(apart));
  EXPECT_TRUE(
      run(tensor::GradientSink::Write::kAdd, torch::ones_like(flat.trainable.values)).equal(apart + 1));
  EXPECT_FALSE(net.weight.grad().defined());
}

void expect_same(const Function& ours, const Function& theirs, const Tensor& x, const Tensor& weight) {
  const Gradients a = gradients(ours, x, weight), b = gradients(theirs, x, weight);
  EXPECT_TRUE(close(a.value, b.value));
  EXPECT_TRUE(close(a.of_weight, b.of_weight));
  if (b.of_x.defined()) {
    EXPECT_TRUE(close(a.of_x, b.of_x));
  }
  expect_in_sink(ours, x, weight);
}

Tensor numbers(at::IntArrayRef shape, double scale) {
  std::int64_t count = 1;
  for (auto s : shape) count *= s;
  return (torch::arange(count, torch::kFloat) * 0.7).sin().mul(scale).view(shape);
}

struct Convolution {
  std::int64_t n, in, out, kernel, stride, padding, height, width;
};
class MatrixConvolution : public testing::TestWithParam<Convolution> {};

TEST_P(MatrixConvolution, EqualsATen) {
  const Convolution& c = GetParam();
  const Tensor weight = numbers({c.out, c.in, c.kernel, c.kernel}, 0.3);
  const Function ours = [&](const Tensor& x, const Tensor& w) {
    return matrix_convolution(x, w, c.stride, c.padding);
  };
  const Function theirs = [&](const Tensor& x, const Tensor& w) {
    return at::conv2d(x, w, {}, c.stride, c.padding);
  };
  const Tensor x = numbers({c.n, c.in, c.height, c.width}, 1);
  expect_same(ours, theirs, x, weight);
  expect_same(ours, theirs, x.contiguous(at::MemoryFormat::ChannelsLast), weight);
}

INSTANTIATE_TEST_SUITE_P(Shapes, MatrixConvolution,
                         testing::Values(Convolution{2, 3, 5, 3, 1, 1, 4,
                                                     6},  // all of the kernel meets the image
                                         Convolution{3, 4, 6, 3, 1, 1, 1, 1},   // its centre alone
                                         Convolution{3, 4, 6, 3, 2, 1, 2, 2},   // four of nine
                                         Convolution{2, 4, 6, 1, 1, 0, 3, 3},   // the image is the matrix
                                         Convolution{2, 4, 6, 1, 2, 0, 5, 4},   // every other position
                                         Convolution{2, 3, 4, 7, 2, 3, 9, 9}),  // wider than the map
                         [](const auto& i) { return "Case" + std::to_string(i.index); });

TEST(MatrixConvolution, SuitsSmallMapsOfFloats) {
  const Tensor few = torch::zeros({64, 64, 3, 3}), many = torch::zeros({512, 512, 3, 3});
  EXPECT_TRUE(suits_matrix_convolution(torch::zeros({8, 64, 4, 4}), few, 1, 1));
  EXPECT_FALSE(suits_matrix_convolution(torch::zeros({8, 64, 8, 8}), few, 1, 1));
  EXPECT_TRUE(suits_matrix_convolution(torch::zeros({8, 64, 8, 8}), few, 2, 1));
  EXPECT_TRUE(suits_matrix_convolution(torch::zeros({1, 512, 7, 7}), many, 1, 1));
  EXPECT_FALSE(suits_matrix_convolution(torch::zeros({8, 64, 4, 4}, torch::kDouble), few, 1, 1));
}

TEST(LinearInPlace, EqualsATen) {
  const Tensor bias = torch::linspace(1, 2, 4);
  const Tensor weight = numbers({4, 6}, 0.5);
  for (const Tensor& x : {numbers({3, 6}, 1), numbers({2, 3, 6}, 1), numbers({3, 2, 6}, 1).transpose(0, 1)}) {
    expect_same([&](const Tensor& in, const Tensor& w) { return linear_in_place(in, w, bias); },
                [&](const Tensor& in, const Tensor& w) { return at::linear(in, w, bias); }, x, weight);
    expect_same([&](const Tensor& in, const Tensor& w) { return linear_in_place(in, w, {}); },
                [&](const Tensor& in, const Tensor& w) { return at::linear(in, w); }, x, weight);
  }
}

// As layers that share their weights do: the same sum whichever way it gets there.
TEST(LinearInPlace, SumsTheGradientsOfSharedWeights) {
  const Function thrice = [](const Tensor& x, const Tensor& w) {
    return linear_in_place(linear_in_place(linear_in_place(x, w, {}).tanh(), w, {}).tanh(), w, {});
  };
  const Function by_aten = [](const Tensor& x, const Tensor& w) {
    return at::linear(at::linear(at::linear(x, w).tanh(), w).tanh(), w);
  };
  expect_same(thrice, by_aten, numbers({2, 4}, 1), numbers({4, 4}, 0.9));
}

TEST(LinearInPlace, GivesTheBiasItsGradient) {
  const Tensor x = numbers({2, 3, 6}, 1), weight = numbers({4, 6}, 0.5);
  const Tensor bias = torch::zeros({4}).set_requires_grad(true);
  linear_in_place(x, weight, bias).sum().backward();
  EXPECT_TRUE(bias.grad().equal(torch::full({4}, 6.0f)));  // one for each of the rows
}

TEST(EmbeddingInPlace, EqualsATen) {
  const Tensor ids = torch::tensor({3, 1, 3, 0, 2, 3, 1, 0}, torch::kLong).view({2, 4});
  for (const std::int64_t padding : {-1, 0})
    expect_same([&](const Tensor& i, const Tensor& w) { return embedding_in_place(w, i, padding); },
                [&](const Tensor& i, const Tensor& w) { return at::embedding(w, i, padding); }, ids,
                numbers({5, 3}, 1));
}

}  // namespace
}  // namespace expunge::models
