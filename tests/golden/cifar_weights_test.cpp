// Published CIFAR-10 weights load by name and reach the accuracy measured on 300 test images.
#include <gtest/gtest.h>

#include <ATen/Parallel.h>

#include <array>
#include <cstdlib>
#include <filesystem>

#include "core/files.hpp"
#include "models/descriptor.hpp"
#include "models/torch/model.hpp"

namespace expunge {
namespace {

fs::path shared_data() {
  const char* given = std::getenv("EXPUNGE_TEST_DATA");
  return given ? given : EXPUNGE_SOURCE_DIR "/../shared/data";
}

// Records of one label byte and 3 x 32 x 32 pixel bytes, normalised as these weights were trained.
std::pair<torch::Tensor, torch::Tensor> read_images(const fs::path& path) {
  constexpr std::int64_t kRecord = 3073;
  const std::string bytes = read_file(path);
  const auto n = static_cast<std::int64_t>(bytes.size()) / kRecord;
  torch::Tensor all = torch::empty({n, kRecord}, torch::kByte);
  std::copy(bytes.begin(), bytes.begin() + n * kRecord,
            reinterpret_cast<char*>(all.data_ptr<std::uint8_t>()));
  const torch::Tensor pixels = all.slice(1, 1).to(torch::kFloat).div(255).view({n, 3, 32, 32});
  const torch::Tensor mean = torch::tensor({0.485f, 0.456f, 0.406f}),
                      deviation = torch::tensor({0.229f, 0.224f, 0.225f});
  return {(pixels - mean.view({1, 3, 1, 1})) / deviation.view({1, 3, 1, 1}),
          all.select(1, 0).to(torch::kLong)};
}

void expect_correct(const std::string& name, std::int64_t correct) {
  at::set_num_threads(1);
  const auto weights = shared_data() / "weights" / ("cifar10_" + name) / "model.safetensors";
  const auto images = shared_data() / "cifar10" / "cifar-10-batches-bin" / "test_batch.bin";
  for (const auto& path : {weights, images})
    if (!fs::exists(path)) GTEST_SKIP() << path << " is absent (set EXPUNGE_TEST_DATA)";
  const auto model = models::build(models::find_descriptor(name)->config(name, {3, 32, 32, 10}));
  models::load_tensors(*model, weights);
  model->eval();
  const torch::NoGradGuard no_grad;
  const auto [pixels, labels] = read_images(images);
  ASSERT_EQ(labels.numel(), 300);
  const torch::Tensor logits = model->forward({{"pixel_values", pixels}}).at("logits");
  EXPECT_EQ((logits.argmax(1) == labels).sum().item<std::int64_t>(), correct);
}

TEST(CifarWeights, ResNet20) { expect_correct("resnet20", 276); }  // 92.0 %
TEST(CifarWeights, ResNet56) { expect_correct("resnet56", 275); }  // 91.7 %

}  // namespace
}  // namespace expunge
