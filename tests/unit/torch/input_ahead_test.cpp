// Reading ahead gives what reading gives, whatever is asked for in between.
#include "engine/input_ahead.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "comm/gpu.hpp"
#include "core/error.hpp"
#include "engine/device_source.hpp"

namespace expunge {
namespace {

// Inputs and labels that tell ids and pass. Sample 13 cannot be read.
class Numbers : public SampleSource {
 public:
  void load(const std::vector<std::int64_t>& ids, std::int64_t pass, Batch& into) const override {
    ++loads;
    for (const auto id : ids)
      if (id == 13) throw DataError::corrupt("sample 13");
    into.labels = torch::tensor(ids, torch::kLong);
    into.inputs["x"] = into.labels.to(torch::kFloat) + 1000.0 * static_cast<double>(pass);
  }
  mutable std::atomic<int> loads{0};
};

void expect_samples(const Batch& b, const GrainSamples& samples) {
  Batch want;
  Numbers().load(samples.ids, samples.pass, want);
  ASSERT_EQ(b.inputs.size(), 1u);
  EXPECT_TRUE(b.inputs.at("x").to(torch::kCPU).equal(want.inputs.at("x")));
  EXPECT_TRUE(b.labels.to(torch::kCPU).equal(want.labels));
}

TEST(InputAhead, GivesWhatWasBegun) {
  const Numbers source;
  InputAhead ahead(source, torch::kCPU);
  for (std::int64_t k = 0; k < 50; ++k) {
    const GrainSamples samples{{k + 100, 300 - k, 7}, k % 3};
    ahead.start(samples);
    Batch b;
    b.source = 5;
    ASSERT_TRUE(ahead.take(samples, b));
    expect_samples(b, samples);
    EXPECT_EQ(b.source, 5u);
    EXPECT_FALSE(ahead.take(samples, b));  // taken once
  }
  EXPECT_EQ(source.loads, 50);
}

TEST(InputAhead, RefusesOtherSamplesAndGoesOn) {
  const Numbers source;
  InputAhead ahead(source, torch::kCPU);
  Batch b;
  EXPECT_FALSE(ahead.take({{1}, 0}, b));  // nothing was begun
  ahead.start({{1, 2}, 0});
  EXPECT_FALSE(ahead.take({{1, 2}, 1}, b));
  EXPECT_FALSE(ahead.take({{2, 1}, 0}, b));
  EXPECT_FALSE(b.labels.defined());
  ahead.start({{3}, 0});  // in the place of the first
  EXPECT_FALSE(ahead.take({{1, 2}, 0}, b));
  ASSERT_TRUE(ahead.take({{3}, 0}, b));
  expect_samples(b, {{3}, 0});
  ahead.start({{4}, 0});  // and is left behind
}

TEST(InputAhead, RaisesWhatReadingRaises) {
  const Numbers source;
  InputAhead ahead(source, torch::kCPU);
  Batch b;
  ahead.start({{12, 13}, 0});
  EXPECT_THROW(ahead.take({{12, 13}, 0}, b), DataError);
  ahead.start({{12}, 0});
  EXPECT_TRUE(ahead.take({{12}, 0}, b));
  ahead.start({{13}, 0});  // nobody asks
}

TEST(InputAhead, CopiesToAGpuBesideItsWork) {
  std::string reason;
  const auto* gpu = comm::open_gpu_plugin(&reason);
  if (!gpu) GTEST_SKIP() << reason;
  gpu->use_device(0);
  const auto source = on_device(std::make_unique<Numbers>(), torch::Device(torch::kCUDA, 0));
  InputAhead ahead(*source, torch::Device(torch::kCUDA, 0));
  for (std::int64_t k = 0; k < 50; ++k) {
    const GrainSamples samples{{k + 100, 300 - k, 7}, k % 3};
    ahead.start(samples);
    Batch b;
    ASSERT_TRUE(ahead.take(samples, b));
    EXPECT_TRUE(b.labels.is_cuda());
    expect_samples(b, samples);
  }
}

TEST(DeviceSource, LeavesHostTensorsOnAProcessor) {
  const torch::Tensor x = torch::ones({3});
  EXPECT_TRUE(to_device(x, torch::kCPU).is_same(x));
  auto source = std::make_unique<Numbers>();
  const SampleSource* same = source.get();
  EXPECT_EQ(on_device(std::move(source), torch::kCPU).get(), same);
}

}  // namespace
}  // namespace expunge
