// Selection of weights by score, against a full sort.
#include "tensor/selection.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/rng.hpp"
#include "methods/counting.hpp"

namespace expunge::tensor {
namespace {

// Tensors of these sizes, laid out with padding between them.
FlatBuffer layout_of(const std::vector<std::int64_t>& sizes) {
  FlatBuffer out;
  std::int64_t offset = 0;
  for (auto n : sizes) {
    out.entries.push_back({"t", offset, n, {n}, true});
    offset += (n + kAlignment - 1) / kAlignment * kAlignment;
  }
  out.values = torch::zeros({offset});
  return out;
}

// The flat positions that a stable sort by falling magnitude puts first.
std::vector<std::int64_t> by_sorting(const FlatBuffer& layout, const torch::Tensor& scores,
                                     std::int64_t count) {
  std::vector<std::int64_t> positions;
  for (const auto& e : layout.entries)
    for (std::int64_t i = 0; i < e.numel; ++i) positions.push_back(e.offset + i);
  const float* x = scores.data_ptr<float>();
  std::stable_sort(positions.begin(), positions.end(),
                   [&](auto a, auto b) { return std::abs(x[a]) > std::abs(x[b]); });
  positions.resize(static_cast<std::size_t>(count));
  std::sort(positions.begin(), positions.end());
  return positions;
}

std::vector<std::int64_t> ones_of(const torch::Tensor& mask) {
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < mask.numel(); ++i) {
    const float m = mask.data_ptr<float>()[i];
    EXPECT_TRUE(m == 0 || m == 1);
    if (m == 1) out.push_back(i);
  }
  return out;
}

TEST(Largest, AgreesWithAStableSort) {
  const auto layout = layout_of({5, 33, 1, 64});
  torch::Tensor scores = torch::zeros({layout.size()});
  const Rng rng(3, "scores");
  for (std::int64_t i = 0; i < scores.numel(); ++i) scores[i] = rng.normal(static_cast<std::uint64_t>(i));
  for (std::int64_t count : {0, 1, 7, 50, 102, 103})
    EXPECT_EQ(ones_of(largest(layout, scores, count)), by_sorting(layout, scores, count)) << count;
}

TEST(Largest, BreaksTiesByPosition) {
  const auto layout = layout_of({20, 20});
  torch::Tensor scores = torch::ones({layout.size()});
  scores[3] = -2;  // magnitude counts
  scores[33] = 0.5;
  for (std::int64_t count : {1, 2, 10, 25, 39, 40})
    EXPECT_EQ(ones_of(largest(layout, scores, count)), by_sorting(layout, scores, count)) << count;
}

TEST(Largest, NeverSelectsPadding) {
  const auto layout = layout_of({3, 3});
  const torch::Tensor scores = torch::full({layout.size()}, 9.0f);
  scores.slice(0, 0, 3).fill_(1), scores.slice(0, 16, 19).fill_(0);
  EXPECT_EQ(ones_of(largest(layout, scores, 6)), (std::vector<std::int64_t>{0, 1, 2, 16, 17, 18}));
}

TEST(Largest, CountsExactlyWithZeroScores) {
  const auto layout = layout_of({100});
  EXPECT_EQ(ones_of(largest(layout, torch::zeros({layout.size()}), 37)).size(), 37u);
}

TEST(Largest, IgnoresAFactor) {
  const auto layout = layout_of({17, 40});
  torch::Tensor scores = torch::zeros({layout.size()});
  const Rng rng(4, "scores");
  for (std::int64_t i = 0; i < scores.numel(); ++i) scores[i] = rng.normal(static_cast<std::uint64_t>(i));
  EXPECT_TRUE(largest(layout, scores, 28).equal(largest(layout, scores * 8, 28)));
}

TEST(Largest, ToleratesNaN) {
  const auto layout = layout_of({4});
  torch::Tensor scores = torch::tensor({1.0f, std::numeric_limits<float>::quiet_NaN(), 3.0f, 2.0f});
  scores = torch::cat({scores, torch::zeros({12})});
  EXPECT_EQ(ones_of(largest(layout, scores, 2)), (std::vector<std::int64_t>{1, 2}));
}

TEST(Counting, SharesForgiveDecimalFractions) {
  EXPECT_EQ(methods::share_of(0.29, 100), 29);
  EXPECT_EQ(methods::share_of(0.3, 10), 3);
  EXPECT_EQ(methods::share_of(0.3, 11), 3);
  EXPECT_EQ(methods::share_of(0.5, 7), 3);
  EXPECT_EQ(methods::share_of(1, 7), 7);
  EXPECT_EQ(methods::share_of(0, 7), 0);
}

TEST(Counting, CycledSamplesFollowTheRuleStepByStep) {
  for (std::int64_t n : {0, 1, 7, 8, 9, 16, 30})
    for (std::int64_t steps : {0, 1, 2, 3, 5, 20}) {
      std::int64_t offset = 0, taken = 0;
      for (std::int64_t s = 0; s < steps && n > 0; ++s) {
        if (offset >= n) offset = 0;
        const std::int64_t take = std::min<std::int64_t>(8, n - offset);
        offset += take, taken += take;
      }
      EXPECT_EQ(methods::cycled_samples(steps, n, 8), taken) << n << " samples, " << steps << " steps";
    }
}

}  // namespace
}  // namespace expunge::tensor
