// `expunge bench` as scripts use it: fields of its JSON, what it refuses. No test depends on speed.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "tests/cli/command.hpp"

namespace expunge::test {
namespace {

using nlohmann::json;
constexpr const char* kEnvironment =
    "OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 ";
const std::string kTwoRanks =
    std::string(kEnvironment) + "mpirun --quiet --oversubscribe --bind-to none -n 2";

json step(const std::vector<std::string>& words, const std::string& prefix = kEnvironment) {
  std::vector<std::string> all{"bench", "step", "--json", "--steps", "2", "--warm", "1", "--rounds", "1"};
  all.insert(all.end(), words.begin(), words.end());
  const auto result = run_command(all, prefix);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.exit_code == 0 ? json::parse(result.out) : json::object();
}

TEST(BenchStep, TakesAnyConfigOfAKnownFamily) {
  const TemporaryFolder folder;
  const auto file = (folder.path() / "config.json").string();
  std::ofstream(file)
      << R"({"model_type": "llama", "vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 24})";
  const auto found = step({"--config", file, "--size", "8", "--batch", "4", "--precision", "bf16"});
  EXPECT_EQ(found.at("model"), "llama");
  EXPECT_EQ(found.at("precision"), "bf16");
  EXPECT_EQ(found.at("ranks"), 1);
  EXPECT_EQ(found.at("grain"), 1);
  EXPECT_GT(found.at("step_s").get<double>(), 0);
  EXPECT_NEAR(found.at("samples_per_s").get<double>() * found.at("step_s").get<double>(), 4, 1e-6);
  EXPECT_GT(found.at("bare_step_s").get<double>(), 0);
  EXPECT_GE(found.at("page_faults").get<double>(), 0);
  std::ofstream(file) << R"({"model_type": "lama"})";
  const auto wrong = run_command({"bench", "step", "--config", file}, kEnvironment);
  EXPECT_EQ(wrong.exit_code, kExitConfig);
  EXPECT_NE(wrong.err.find("unknown model_type \"lama\""), std::string::npos) << wrong.err;
}

TEST(BenchStep, OnTwoRanksWithoutTheBareLoop) {
  const auto found = step({"--model", "resnet8", "--size", "16", "--batch", "32", "--grain", "8"}, kTwoRanks);
  EXPECT_EQ(found.at("ranks"), 2);
  EXPECT_EQ(found.at("transport"), "mpi");
  EXPECT_FALSE(found.contains("bare_step_s"));
  EXPECT_GT(found.at("communication").get<double>(), 0);
  EXPECT_EQ(run_command({"bench", "step", "--precision", "fp8"}, kEnvironment).exit_code, kExitUsage);
}

TEST(BenchStep, SaysWhyThereIsNoGpu) {
  const auto wants_gpu = run_command({"bench", "step", "--device", "cuda", "--steps", "1"}, kEnvironment);
  if (wants_gpu.exit_code == 0) GTEST_SKIP() << "there is a GPU";
  EXPECT_EQ(wants_gpu.exit_code, kExitMissing);
  EXPECT_NE(wants_gpu.err.find("--device cuda: "), std::string::npos) << wants_gpu.err;
  const auto tf32 = run_command({"bench", "step", "--precision", "tf32"}, kEnvironment);
  EXPECT_EQ(tf32.exit_code, kExitConfig);
  EXPECT_NE(tf32.err.find("needs a GPU"), std::string::npos) << tf32.err;
  EXPECT_EQ(run_command({"bench", "step", "--device", "tpu"}, kEnvironment).exit_code, kExitUsage);
  EXPECT_EQ(run_command({"bench", "step", "--device", "cuda", "--method", "all"}, kEnvironment).exit_code,
            kExitUsage);
}

TEST(BenchAllreduce, ReportsBandwidthsAndChecksSums) {
  const auto result = run_command({"bench", "allreduce", "--sizes", "4K,64K"}, kTwoRanks);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* part : {"2 ranks", "ordered bus", "native bus", "4.00 KiB", "64.0 KiB"})
    EXPECT_NE(result.out.find(part), std::string::npos) << part << "\n" << result.out;
  for (const char* sizes : {"", "4X", "0", "K", "1M,,2M", "-1"})
    EXPECT_EQ(run_command({"bench", "allreduce", "--sizes", sizes}).exit_code, kExitUsage) << sizes;
}

}  // namespace
}  // namespace expunge::test
