// Which transport is chosen, with a table of functions in the place of the GPU plugin; and the plugin itself
// where a GPU is.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "comm/gpu.hpp"
#include "core/error.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::comm {
namespace {

using test::world;

std::string uuid_;  // of this rank's made-up device

// Stands for a GPU transport: remembers its name only.
class Named final : public Communicator {
 public:
  Named(Communicator& host, std::string name)
      : Communicator(host.rank(), host.size()), name_(std::move(name)) {}
  std::string transport() const override { return name_; }
  void barrier() override {}
  void broadcast(void*, std::size_t, int) override {}
  void all_gather(const void*, void*, const std::vector<std::size_t>&) override {}
  void gather(const void*, void*, const std::vector<std::size_t>&, int) override {}
  void exchange(const std::vector<const void*>&, const std::vector<std::size_t>&, const std::vector<void*>&,
                const std::vector<std::size_t>&, void*) override {}
  void all_gather_slices(void*, const std::vector<std::size_t>&, void*) override {}
  void native_sum(float*, std::int64_t, void*) override {}
  std::unique_ptr<Communicator> split(int, int) override { return nullptr; }

 private:
  std::string name_;
};

GpuPlugin made_up() {
  GpuPlugin table{};
  table.version = kGpuPluginVersion;
  table.current_device = [] { return 0; };
  table.device = [](int) {
    GpuDevice device;
    device.uuid = uuid_;
    return device;
  };
  table.make_nccl = [](Communicator& host) -> std::unique_ptr<Communicator> {
    return std::make_unique<Named>(host, "nccl");
  };
  table.make_staged = [](Communicator& host) -> std::unique_ptr<Communicator> {
    return std::make_unique<Named>(host, "staged");
  };
  return table;
}

// Name of the transport chosen, or the exit code of the error.
std::string chosen(const std::string& wish, const GpuPlugin* gpu) {
  try {
    return make_transport(world(), wish, gpu)->transport();
  } catch (const Error& error) {
    return std::to_string(error.exit_code());
  }
}

TEST(Transport, WithoutGpu) {
  const std::string host = world().size() == 1 ? "self" : "mpi";
  EXPECT_EQ(chosen("auto", nullptr), host);
  EXPECT_EQ(chosen("mpi", nullptr), host);
  EXPECT_EQ(chosen("nccl", nullptr), "64");
  EXPECT_EQ(chosen("staged", nullptr), "64");
}

TEST(Transport, OneGpuARank) {
  const GpuPlugin gpu = made_up();
  uuid_ = fmt::format("GPU-{}", world().rank());
  EXPECT_EQ(chosen("auto", &gpu), world().size() == 1 ? "self" : "nccl");
  EXPECT_EQ(chosen("mpi", &gpu), world().size() == 1 ? "self" : "mpi");
  EXPECT_EQ(chosen("nccl", &gpu), "nccl");
  EXPECT_EQ(chosen("staged", &gpu), "staged");
}

TEST(Transport, SharedGpu) {
  const GpuPlugin gpu = made_up();
  uuid_ = fmt::format("GPU-{}", world().rank() / 2);  // from two ranks on, two share one
  const bool alone = world().size() == 1;
  EXPECT_EQ(chosen("auto", &gpu), alone ? "self" : "staged");
  EXPECT_EQ(chosen("staged", &gpu), "staged");
  EXPECT_EQ(chosen("nccl", &gpu), alone ? "nccl" : "64");
}

TEST(Transport, GpuOnSomeRanksOnly) {
  const GpuPlugin gpu = made_up();
  uuid_ = fmt::format("GPU-{}", world().rank());
  EXPECT_EQ(chosen("auto", world().rank() == 0 ? &gpu : nullptr), world().size() == 1 ? "self" : "76");
}

TEST(Transport, UnknownName) {
  try {
    make_transport(world(), "ncll", nullptr);
    ADD_FAILURE() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean \"nccl\"?"), std::string::npos) << error.what();
  }
}

TEST(GpuPlugin, GivesATableOrAReason) {
  std::string reason = "untouched";
  const GpuPlugin* gpu = open_gpu_plugin(&reason);
  EXPECT_EQ(gpu == nullptr, !reason.empty()) << reason;
  EXPECT_NE(reason, "untouched");
  EXPECT_EQ(open_gpu_plugin(), gpu);
  if (gpu) {
    EXPECT_EQ(gpu->version, kGpuPluginVersion);
    EXPECT_GE(gpu->device_count(), 1);
  }
}

// On a GPU: the ordered sum gives the bits it gives in host memory, over whatever transport fits.
TEST(GpuPlugin, OrderedSumEqualsTheHosts) {
  std::string reason;
  const GpuPlugin* gpu = open_gpu_plugin(&reason);
  if (!gpu) GTEST_SKIP() << reason;
  gpu->use_device(test::runtime().local_rank() % gpu->device_count());
  std::vector<std::string> wishes{"auto", "staged"};
  if (world().size() == 1) wishes.push_back("nccl");
  for (const auto& wish : wishes) {
    const auto transport = make_transport(world(), wish, gpu);
    for (const std::int64_t count : {std::int64_t{17}, std::int64_t{100003}, (std::int64_t{5} << 20) + 3}) {
      const int inside = count == 17 ? 1 : 2;  // ranks of a node: both forms, where there are four ranks
      OrderedSum on_device(*transport, count, gpu->arithmetic(), inside), on_host(world(), count);
      const Arithmetic device = gpu->arithmetic();
      std::vector<float> result(static_cast<std::size_t>(count));
      for (const std::int64_t leaves : {0, 1, 5, 8}) {
        on_device.begin(leaves), on_host.begin(leaves);
        for (auto leaf = on_host.first_leaf(); leaf < on_host.last_leaf(); ++leaf) {
          float* values = on_host.leaf();
          for (std::int64_t i = 0; i < count; ++i)
            values[i] = static_cast<float>((i * 7919 + leaf * 104729) % 1000003) * (leaf % 2 ? -1e-3f : 1e3f);
          device.copy(on_device.leaf(), values, count);
          gpu->synchronize(device.stream);
          on_host.push(), on_device.push();
        }
        const float* expected = on_host.finish();
        device.copy(result.data(), on_device.finish(), count);
        gpu->synchronize(device.stream);
        EXPECT_EQ(std::memcmp(result.data(), expected, result.size() * sizeof(float)), 0)
            << transport->transport() << ", " << leaves << " leaves of " << count;
      }
    }
  }
}

}  // namespace
}  // namespace expunge::comm
