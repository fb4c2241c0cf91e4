// Gradients written straight into a flat buffer, beside what autograd leaves in .grad.
#include "tensor/gradient_sink.hpp"

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "tensor/flat_parameters.hpp"

namespace expunge::tensor {
namespace {

struct Net : torch::nn::Module {
  torch::Tensor used = register_parameter("used", torch::linspace(-1, 1, 15).view({3, 5}));
  torch::Tensor twice = register_parameter("twice", torch::linspace(0, 2, 3));
  torch::Tensor unused = register_parameter("unused", torch::ones({20}));

  torch::Tensor loss(double scale) const {
    const torch::Tensor x = torch::linspace(1, 2, 10).view({2, 5});
    return ((at::mm(x, used.t()) + twice).tanh() * twice).sum() * scale;
  }
};

bool all(const std::string&) { return true; }

// What autograd accumulates, in the layout of the flat buffer; padding 0.
torch::Tensor expected(const FlatParameters& flat, Net& net, double scale) {
  torch::Tensor out = torch::zeros_like(flat.trainable.values);
  for (auto* p : {&net.used, &net.twice}) p->mutable_grad() = torch::Tensor();
  net.loss(scale).backward();
  flat.trainable.view_of(out, 0).copy_(net.used.grad());
  flat.trainable.view_of(out, 1).copy_(net.twice.grad());
  for (auto* p : {&net.used, &net.twice}) p->mutable_grad() = torch::Tensor();
  return out;
}

TEST(GradientSink, ReplacesWhatLiesInTheBuffer) {
  Net net;
  FlatParameters flat(net, torch::kCPU, all, "all");
  const torch::Tensor want = expected(flat, net, 2);
  torch::Tensor buffer = torch::full_like(flat.trainable.values, 7);
  flat.sink().open(buffer, GradientSink::Write::kReplace);
  net.loss(2).backward();
  flat.sink().close();
  EXPECT_TRUE(buffer.equal(want));  // zeros where no gradient arrived, and in the padding
  EXPECT_FALSE(net.used.grad().defined());
}

// Three parameters of 16, 16 and 32 elements with their padding; the last one gets no gradient.
TEST(GradientSink, TellsWhichPartsAreReady) {
  Net net;
  FlatParameters flat(net, torch::kCPU, all, "all");
  GradientSink& sink = flat.sink();
  const auto ends_of = [&](std::int64_t floats) {
    std::vector<std::int64_t> out;
    std::int64_t end = flat.trainable.size();
    for (const auto& part : sink.parts(floats)) {
      EXPECT_EQ(part.last, end);
      out.push_back(end = part.first);
    }
    return out;
  };
  EXPECT_EQ(ends_of(1), (std::vector<std::int64_t>{32, 16, 0}));
  EXPECT_EQ(ends_of(33), (std::vector<std::int64_t>{16, 0}));
  EXPECT_EQ(ends_of(1000), (std::vector<std::int64_t>{0}));

  const torch::Tensor want = expected(flat, net, 2);
  torch::Tensor buffer = torch::full_like(flat.trainable.values, 7);
  int ready = 0;
  const auto parts = sink.parts(1);
  sink.open(buffer, GradientSink::Write::kReplace, parts, [&] { ++ready; });
  net.loss(2).backward();
  EXPECT_EQ(ready, 0);  // `unused` is in the first part
  sink.close();
  EXPECT_TRUE(buffer.equal(want));

  // With a gradient for everything: each part is whole, padding included, when it is told, and is left alone
  // afterwards.
  const auto loss = [&] { return net.loss(2) + (net.unused * 3).sum(); };
  torch::Tensor whole = want.clone();
  flat.trainable.view_of(whole, 2).fill_(3);
  for (const bool adds : {false, true}) {
    torch::Tensor into = adds ? torch::ones_like(buffer) : torch::full_like(buffer, 7);
    const torch::Tensor goal = adds ? whole + 1 : whole;
    ready = 0;
    sink.open(into, adds ? GradientSink::Write::kAdd : GradientSink::Write::kReplace, parts, [&] {
      const auto [from, to] = parts[static_cast<std::size_t>(ready++)];
      EXPECT_TRUE(into.narrow(0, from, to - from).equal(goal.narrow(0, from, to - from))) << from;
      into.narrow(0, from, to - from).fill_(-from);
    });
    loss().backward();
    sink.close();
    ASSERT_EQ(ready, 3);
    for (const auto& [from, to] : parts)
      EXPECT_TRUE(into.narrow(0, from, to - from).eq(-from).all().item<bool>()) << from;
  }
}

TEST(GradientSink, RefusesAGradientForAPartThatIsReady) {
  Net net;
  FlatParameters flat(net, torch::kCPU, all, "all");
  torch::Tensor buffer = torch::zeros_like(flat.trainable.values);
  const auto parts = flat.sink().parts(1);
  flat.sink().open(buffer, GradientSink::Write::kReplace, parts, [] {});
  (net.unused * 3).sum().backward();
  EXPECT_THROW((net.unused * 3).sum().backward(), std::exception);
  const std::vector<GradientSink::Part> few{{16, flat.trainable.size()}};
  EXPECT_THROW(flat.sink().open(buffer, GradientSink::Write::kReplace, few, [] {}), InternalError);
}

// A hook of one backward pass runs another one, with a buffer of its own.
TEST(GradientSink, LetsAnotherPassInsideOfOne) {
  Net net;
  FlatParameters flat(net, torch::kCPU, all, "all");
  GradientSink& sink = flat.sink();
  const torch::Tensor want = expected(flat, net, 2), other = expected(flat, net, 5);
  torch::Tensor buffer = torch::full_like(want, 7), inner = buffer.clone();
  sink.open(buffer, GradientSink::Write::kReplace);
  const torch::Tensor loss = net.loss(2);
  loss.register_hook([&](const torch::Tensor&) {
    const torch::AutoGradMode with_gradients(true);
    const torch::Tensor another = net.loss(5);
    sink.open(inner, GradientSink::Write::kReplace);
    another.backward();
    sink.close();
  });
  loss.backward();
  sink.close();
  EXPECT_TRUE(buffer.equal(want));
  EXPECT_TRUE(inner.equal(other));
}

TEST(GradientSink, AddsToWhatLiesInTheBuffer) {
  Net net;
  FlatParameters flat(net, torch::kCPU, all, "all");
  const torch::Tensor want = expected(flat, net, 2) + expected(flat, net, 3);
  torch::Tensor buffer = expected(flat, net, 2);
  flat.sink().open(buffer, GradientSink::Write::kAdd);
  net.loss(3).backward();
  EXPECT_THROW(net.loss(1).backward(), std::exception);  // a second gradient of one pass
  flat.sink().open(buffer, GradientSink::Write::kAdd);
  flat.sink().close();
  EXPECT_TRUE(buffer.equal(want));
}

TEST(GradientSink, AddsSeveralPassesOfOneOpening) {
  Net net;
  FlatParameters flat(net, torch::kCPU, all, "all");
  const torch::Tensor want = expected(flat, net, 2) + expected(flat, net, 3);
  torch::Tensor buffer = torch::full_like(flat.trainable.values, 7);
  flat.sink().open(buffer, GradientSink::Write::kReplace);
  net.loss(2).backward();
  net.loss(3).backward();
  flat.sink().close();
  EXPECT_TRUE(buffer.equal(want));
}

TEST(GradientSink, LeavesGradAloneWhileItIsClosed) {
  Net net;
  FlatParameters flat(net, torch::kCPU, all, "all");
  torch::Tensor bound = torch::zeros_like(flat.trainable.values), buffer = torch::zeros_like(bound);
  flat.sink().open(buffer, GradientSink::Write::kReplace);
  flat.sink().close();
  flat.bind_gradients(bound);
  net.loss(2).backward();
  EXPECT_GT(bound.abs().max().item<float>(), 0);
  EXPECT_EQ(buffer.abs().max().item<float>(), 0);
}

TEST(GradientSink, IsTakenOverByTheNextOne) {
  Net net;
  FlatParameters before(net, torch::kCPU, all, "all"), flat(net, torch::kCPU, all, "all");
  const torch::Tensor want = expected(flat, net, 2);
  torch::Tensor buffer = torch::zeros_like(want);
  EXPECT_THROW(before.sink().open(buffer, GradientSink::Write::kReplace), InternalError);
  flat.sink().open(buffer, GradientSink::Write::kReplace);
  net.loss(2).backward();
  flat.sink().close();
  EXPECT_TRUE(buffer.equal(want));
}

}  // namespace
}  // namespace expunge::tensor
