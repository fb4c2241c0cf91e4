// SuperLoss against its golden values (specification G10, G11), Lambert's W against its definition.
#include "stat/super_loss.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

namespace expunge::stat {
namespace {

TEST(LambertW, InvertsXTimesExpX) {
  for (double w : {-0.999, -0.9, -0.5, -0.1, -1e-6, 0.0, 1e-6, 0.3, 1.0, 5.0, 40.0})
    EXPECT_NEAR(lambert_w0(w * std::exp(w)), w, 1e-9 * (1 + std::fabs(w))) << w;
  EXPECT_EQ(lambert_w0(-1 / std::numbers::e), -1);
  EXPECT_EQ(lambert_w0(-5), -1);
  EXPECT_EQ(lambert_w0(0), 0);
}

TEST(SuperLoss, WeighsAsPublished) {
  const std::vector<std::pair<double, double>> golden = {{-10, 2.718281828459},
                                                         {-2 / std::numbers::e, 2.718281828459},
                                                         {-0.5, 1.429611824726},
                                                         {-0.25, 1.155370825100},
                                                         {0, 1},
                                                         {0.5, 0.815553418809},
                                                         {1, 0.703467422498},
                                                         {2, 0.567143290410},
                                                         {5, 0.383434542691},
                                                         {10, 0.265344933045},
                                                         {100, 0.057217803560}};
  for (const auto& [beta, sigma] : golden) {
    EXPECT_NEAR(super_loss_weight(beta, 0, 1), sigma, 1e-10) << beta;
    EXPECT_NEAR(super_loss_weight(3 + 10 * beta, 3, 10), sigma, 1e-10) << beta;
  }
}

TEST(SuperLoss, HasThePublishedValue) {
  for (const auto& [loss, value] : std::vector<std::pair<double, double>>{{-3, -7.154845485377},
                                                                          {-0.5, -0.587069039275},
                                                                          {0.3, 0.280326032289},
                                                                          {2, 1.455938092676},
                                                                          {7, 3.538132616620}})
    EXPECT_NEAR(super_loss(loss, 0, 1), value, 1e-10) << loss;
}

TEST(SuperLoss, HasItsWeightAsDerivative) {
  for (double loss : {-2.0, -0.3, 0.1, 1.7, 9.0}) {
    const double h = 1e-5;
    EXPECT_NEAR((super_loss(loss + h, 0.4, 2) - super_loss(loss - h, 0.4, 2)) / (2 * h),
                super_loss_weight(loss, 0.4, 2), 1e-8)
        << loss;
  }
}

}  // namespace
}  // namespace expunge::stat
