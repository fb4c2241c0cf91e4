// `expunge scale` on the shipped sample images: what it refuses, and that its shares, efficiencies and files
// agree with each other. No test depends on how fast anything is.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "tests/cli/command.hpp"

namespace expunge::test {
namespace {

using nlohmann::json;

struct Scale : testing::Test {
  Scale() {
    job = (folder.path() / "tiny.toml").string();
    std::ofstream(job)
        << "[sweep]\nname = \"tiny\"\ndataset = [\"fashion_mnist\"]\nmodel = [\"resnet8\"]\n"
           "method = [\"scrub\", \"neggrad\"]\nratio = [0.1]\nseed = [42]\n[data]\ntrain_limit "
           "= 100\ntest_limit = 20\n[original]\nepochs = 1\nbatch = 32\ngrain = 8\n[train]\nbatch "
           "= 32\ngrain = 8\n";
  }
  CommandResult scale(std::vector<std::string> words, const std::string& more = "") {
    words.insert(words.begin(), {"scale", job});
    return run_command(words, "EXPUNGE_DATA_ROOT=" + quoted(EXPUNGE_SOURCE_DIR "/data/samples") +
                                  " EXPUNGE_CACHE=" + quoted((folder.path() / "cache").string()) +
                                  " OMP_NUM_THREADS=1 " + more);
  }
  TemporaryFolder folder;
  std::string job;
};

TEST_F(Scale, RefusesWhatItCannotMeasure) {
  for (const char* ranks : {"2,1", "1,1", "0", "0,1", "-1", "1,,2", "x", "", "1.5"})
    EXPECT_EQ(scale({"--ranks", ranks}).exit_code, kExitUsage) << ranks;
  EXPECT_NE(scale({"--ranks", "2,1"}).err.find("1 after 2; expected ascending"), std::string::npos);
  EXPECT_EQ(scale({"--mode", "medium"}).exit_code, kExitUsage);
  for (const char* network : {"3", "0,1", "a,b", "1,2,3"})
    EXPECT_EQ(scale({"--network", network}).exit_code, kExitUsage) << network;
  EXPECT_EQ(scale({"--launches", "0"}).exit_code, kExitUsage);
  EXPECT_EQ(scale({}, "OMPI_COMM_WORLD_SIZE=2").exit_code, kExitUsage);  // as under mpirun
  const auto none = scale({"--ranks", "1,2", "--launcher", "no_such_launcher -x"});
  EXPECT_EQ(none.exit_code, kExitMissing);
  EXPECT_NE(none.err.find("no_such_launcher: not found"), std::string::npos) << none.err;
  EXPECT_EQ(scale({"--set", "original.batch=-1"}).exit_code, kExitConfig);
  EXPECT_EQ(run_command({"scale", (folder.path() / "absent.toml").string()}).exit_code, kExitMissing);
}

TEST_F(Scale, TellsWhyARankFailed) {
  // 64 samples a rank on two ranks, but the data set has 100: the probe says so, with its code.
  const auto weak =
      scale({"--weak", "--ranks", "2", "--launches", "1", "--steps", "1", "--set", "original.batch=64"});
  EXPECT_EQ(weak.exit_code, kExitConfig) << weak.err;
  EXPECT_NE(weak.err.find("a step of 128 samples on 2 ranks"), std::string::npos) << weak.err;
  EXPECT_EQ(scale({"--ranks", "1", "--cell", "7", "--launches", "1"}).exit_code, kExitUsage);
}

TEST_F(Scale, MeasuresStrongScaling) {
  const auto csv = folder.path() / "scale.csv", svg = folder.path() / "scale.svg";
  const auto result = scale({"--ranks", "1,2", "--launches", "2", "--steps", "2", "--csv", csv.string(),
                             "--svg", svg.string(), "--ranks-per-node", "8", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto found = json::parse(result.out);
  EXPECT_EQ(found.at("sweep"), "tiny");
  EXPECT_EQ(found.at("mode"), "strong");
  const auto& rows = found.at("measured");
  const auto cpus = found.at("cpus").get<int>();
  ASSERT_EQ(rows.size(), cpus > 1 ? 3u : 2u);
  double best = 0;
  for (const auto& row : rows) {
    EXPECT_GT(row.at("step_s").get<double>(), 0);
    double shares = 0;
    for (const char* part : {"compute", "input", "imbalance", "communication"}) {
      EXPECT_GE(row.at(part).get<double>(), 0) << part;
      shares += row.at(part).get<double>();
    }
    EXPECT_NEAR(shares, 1, 1e-9);
    best = std::max(best, row.at("against_best_process").get<double>());
  }
  EXPECT_GE(best, 0.5);
  EXPECT_EQ(rows.back().at("ranks"), 2);
  EXPECT_GT(rows.back().at("communication").get<double>(), 0);

  // Efficiencies from the launches themselves: pairs of the same round.
  std::vector<double> alone, two;
  for (const auto& launch : found.at("launches")) {
    EXPECT_EQ(launch.at("samples"), 32);
    EXPECT_EQ(launch.at("grains"), 4);
    EXPECT_EQ(launch.at("sums").size(), launch.at("ranks") == 1 ? 0u : 5u);
    if (launch.at("ranks") == 2) two.push_back(launch.at("samples_per_s").get<double>());
    if (launch.at("ranks") == 1 && launch.at("threads") == 1)
      alone.push_back(launch.at("samples_per_s").get<double>());
  }
  ASSERT_EQ(two.size(), 2u);
  ASSERT_EQ(alone.size(), 2u);
  EXPECT_NEAR(rows.back().at("efficiency").get<double>(), (two[0] / alone[0] + two[1] / alone[1]) / 4, 1e-9);
  EXPECT_TRUE(rows.back().at("efficiency_half_width").is_number());

  if (cpus >= 2) {
    const auto& predicted = found.at("predicted");
    ASSERT_EQ(predicted.size(), 13u);
    EXPECT_EQ(predicted.front().at("ring"), 1.0);
    EXPECT_EQ(predicted.back().at("ranks"), 4096);
    // Four grains keep at most four ranks busy: the step lasts a grain or longer.
    const auto& with = found.at("assumptions");
    const double grain = with.at("grain_s").get<double>(), alone_s = with.at("grain_alone_s").get<double>(),
                 fixed = with.at("fixed_s").get<double>();
    EXPECT_LT(predicted.back().at("hierarchical").get<double>() * 4096, (4 * alone_s + fixed) / grain);
    EXPECT_EQ(found.at("assumptions").at("ranks_per_node"), 8);
    EXPECT_EQ(found.at("assumptions").at("network_latency_s"), 2e-6);
  }
  const auto table = read_file(csv);
  EXPECT_EQ(table.rfind("kind,mode,ranks,threads,step_s", 0), 0u);
  EXPECT_EQ(static_cast<std::size_t>(std::count(table.begin(), table.end(), '\n')),
            1 + rows.size() + 3 * found.at("predicted").size());
  EXPECT_NE(read_file(svg).find("tiny: strong scaling"), std::string::npos);
}

TEST_F(Scale, MeasuresWeakScalingOfACell) {
  const auto result =
      scale({"--ranks", "2", "--mode", "weak", "--cell", "0", "--launches", "1", "--steps", "1"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("method=scrub"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("weak scaling"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("so without an interval"), std::string::npos) << result.out;
}

}  // namespace
}  // namespace expunge::test
