// Fusion of linear maps: the card's cases, and the least squares that it solves.
#include <gtest/gtest.h>

#include "tensor/fusion.hpp"

namespace expunge::tensor {
namespace {

TEST(Fusion, OfOneMapIsTheMap) {
  const torch::Tensor w = torch::tensor({{1.0f, 2.0f}, {3.0f, 4.0f}});
  EXPECT_TRUE(fuse({torch::zeros({2, 2})}, {w}).equal(w));
}

TEST(Fusion, OfIdentityInputsIsTheMean) {
  const torch::Tensor eye = torch::eye(3);
  EXPECT_TRUE(fuse({eye, eye}, {eye, 3 * eye}).allclose(2 * eye, 0, 1e-7));
}

TEST(Fusion, KeepsEachMapWhereOnlyItsInputsPoint) {
  // Inputs of the first point along the first axis, of the second along the second, of none along the third.
  const auto along = [](int axis) {
    torch::Tensor g = torch::zeros({3, 3});
    g[axis][axis] = 4;
    return g;
  };
  const torch::Tensor a = torch::full({3, 1}, 1.0f), b = torch::full({3, 1}, 5.0f);
  const torch::Tensor w = fuse({along(0), along(1)}, {a, b});
  EXPECT_NEAR(w[0].item<float>(), 1, 2e-3);
  EXPECT_NEAR(w[1].item<float>(), 5, 2e-3);
  EXPECT_NEAR(w[2].item<float>(), 3, 2e-3);
}

TEST(Fusion, MinimisesTheSumOfSquares) {
  torch::manual_seed(3);
  const torch::Tensor x1 = torch::randn({20, 3}), x2 = torch::randn({30, 3}), w1 = torch::randn({3, 2}),
                      w2 = torch::randn({3, 2});
  const torch::Tensor w = fuse({x1.t().mm(x1), x2.t().mm(x2)}, {w1, w2}, 0);
  const auto loss = [&](const torch::Tensor& m) {
    return (x1.mm(m - w1).square().sum() + x2.mm(m - w2).square().sum()).item<double>();
  };
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 2; ++j)
      for (const float step : {-0.05f, 0.05f}) {
        torch::Tensor moved = w.clone();
        moved[i][j] += step;
        EXPECT_GT(loss(moved), loss(w));
      }
}

}  // namespace
}  // namespace expunge::tensor
