// Site files: every key comes through, every mistake is told with its place.
#include <gtest/gtest.h>

#include <filesystem>

#include "cluster/memory.hpp"
#include "cluster/site.hpp"
#include "core/error.hpp"

namespace expunge::cluster {
namespace {

std::string problems_of(const std::string& text) {
  try {
    parse_site(text, "site.toml");
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.exit_code(), 64);
    return error.what();
  }
  return "";
}

TEST(Site, DefaultsAsDocumented) {
  const auto site = parse_site("", "site.toml");
  const auto shipped = read_site(EXPUNGE_SOURCE_DIR "/slurm/site.toml");
  for (const auto* s : {&site, &shipped}) {
    EXPECT_EQ(s->ranks, 1);
    EXPECT_EQ(s->time_limit, 3600);
    EXPECT_EQ(s->signal_before_end, 180);
    EXPECT_TRUE(s->requeue);
    EXPECT_EQ(s->max_restarts, 20);
    EXPECT_EQ(s->max_array_size, 0);
    EXPECT_EQ(s->minutes, 30);
    EXPECT_EQ(s->launcher, "srun");
    EXPECT_EQ(s->mpi, "pmix");
    EXPECT_TRUE(s->environment.empty());
  }
}

TEST(Site, ShippedFilesAreGood) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(EXPUNGE_SOURCE_DIR "/slurm"))
    if (entry.path().extension() == ".toml") {
      EXPECT_NO_THROW(read_site(entry.path())) << entry.path();
      ++files;
    }
  EXPECT_EQ(files, 3);
}

TEST(Site, EveryKeyIsRead) {
  ::setenv("EXPUNGE_TEST_SCRATCH", "/scratch/me", 1);
  const auto site = parse_site(R"([slurm]
partition = "p"
account = "a"
qos = "q"
gres = "gpu:2"
constraint = "a&b"
reservation = "r"
options = ["--exclusive"]
nodes = 2
ranks = 6
cpus_per_rank = 3
memory_per_cpu = "2G"
time_limit = "1-02:03:04"
signal_before_end = 77
requeue = false
max_restarts = 3
[limits]
max_array_size = 11
max_submitted = 12
throttle = 13
[tasks]
minutes = 5
gflops = 6.5
cell_seconds = 0.25
ranks_per_cell = 2
[launch]
launcher = "mpirun"
mpi = "pmi2"
options = ["--x"]
modules = ["gcc/12"]
setup = ["ulimit -s unlimited"]
program = "/opt/expunge"
device = "cpu"
scratch = "${EXPUNGE_TEST_SCRATCH}/$EXPUNGE_TEST_SCRATCH"
template = "own.sbatch"
[environment]
A_B1 = "x y"
)",
                               "folder/site.toml");
  EXPECT_EQ(site.partition + site.account + site.qos + site.gres + site.constraint + site.reservation,
            "paqgpu:2a&br");
  EXPECT_EQ(site.options, std::vector<std::string>{"--exclusive"});
  EXPECT_EQ(site.nodes, 2);
  EXPECT_EQ(site.ranks, 6);
  EXPECT_EQ(site.cpus_per_rank, 3);
  EXPECT_EQ(site.memory_per_cpu, "2G");
  EXPECT_EQ(site.time_limit, 86400 + 2 * 3600 + 3 * 60 + 4);
  EXPECT_EQ(site.signal_before_end, 77);
  EXPECT_FALSE(site.requeue);
  EXPECT_EQ(site.max_restarts, 3);
  EXPECT_EQ(site.max_array_size, 11);
  EXPECT_EQ(site.max_submitted, 12);
  EXPECT_EQ(site.throttle, 13);
  EXPECT_EQ(site.minutes, 5);
  EXPECT_EQ(site.gflops, 6.5);
  EXPECT_EQ(site.cell_seconds, 0.25);
  EXPECT_EQ(site.ranks_per_cell, 2);
  EXPECT_EQ(site.launcher + site.mpi + site.device + site.program, "mpirunpmi2cpu/opt/expunge");
  EXPECT_EQ(site.modules.size() + site.setup.size() + site.launcher_options.size(), 3u);
  EXPECT_EQ(site.scratch, "/scratch/me//scratch/me");
  EXPECT_EQ(site.batch_template, std::filesystem::absolute("folder") / "own.sbatch");
  EXPECT_EQ(site.environment.at("A_B1"), "x y");
}

TEST(Site, MistakesHaveLineAndColumn) {
  const auto text = problems_of(R"([slurm]
partiton = "cpu"
ranks = 0
time_limit = "1:2:3:4"
account = "two words"
[launch]
launcher = "aprun"
modules = ["a; rm"]
scratch = "$EXPUNGE_TEST_NOT_SET/x"
[environment]
"1BAD" = "x"
)");
  EXPECT_NE(text.find("site.toml:2:12: slurm.partiton: unknown key; did you mean \"partition\"?"), text.npos)
      << text;
  EXPECT_NE(text.find("site.toml:3:"), text.npos) << text;
  EXPECT_NE(text.find("site.toml:4:14: slurm.time_limit: \"1:2:3:4\" is no time limit"), text.npos) << text;
  EXPECT_NE(text.find("site.toml:5:11: slurm.account: expected one word"), text.npos) << text;
  EXPECT_NE(text.find("launch.launcher: unknown \"aprun\""), text.npos) << text;
  EXPECT_NE(text.find("site.toml:8:"), text.npos) << text;
  EXPECT_NE(text.find("site.toml:9:11: launch.scratch: \"EXPUNGE_TEST_NOT_SET\" is not set"), text.npos)
      << text;
  EXPECT_NE(text.find("no name of an environment variable"), text.npos) << text;
}

TEST(Site, UnknownSectionsAndSyntax) {
  EXPECT_NE(problems_of("[slrum]\nranks = 1\n").find("unknown section \"slrum\"; did you mean \"slurm\"?"),
            std::string::npos);
  EXPECT_NE(problems_of("slurm = 1\n").find("expected a section, [slurm]"), std::string::npos);
  EXPECT_NE(problems_of("[slurm\n").find("site.toml:1:"), std::string::npos);
  EXPECT_NE(problems_of("[slurm]\ntime_limit = \"5\"\nsignal_before_end = 200\n")
                .find("more than half of the time limit"),
            std::string::npos);
  EXPECT_NE(problems_of("[limits]\nmax_submitted = 2\n").find("3 or more"), std::string::npos);
  EXPECT_THROW(read_site("/nonexistent/site.toml"), DataError);
}

TEST(Site, TimeLimitsAsSlurmReadsThem) {
  EXPECT_EQ(parse_time_limit("30"), 1800);
  EXPECT_EQ(parse_time_limit("90:30"), 90 * 60 + 30);
  EXPECT_EQ(parse_time_limit("02:00:00"), 7200);
  EXPECT_EQ(parse_time_limit("2-00"), 172800);
  EXPECT_EQ(parse_time_limit("1-12:30"), 86400 + 12 * 3600 + 30 * 60);
  for (const char* wrong : {"", "x", "0", "-5", "1-", "1-2-3", "1:2:3:4", "1:x", "1.5"})
    EXPECT_THROW(parse_time_limit(wrong), ConfigError) << wrong;
  EXPECT_EQ(time_limit_text(1800), "00:30:00");
  EXPECT_EQ(time_limit_text(86400 * 2 + 61), "2-00:01:01");
}

TEST(Site, MemoryIsReadAsSlurmReadsIt) {
  EXPECT_EQ(parse_memory(""), 0);
  EXPECT_EQ(parse_memory("512"), 512.0 * (1 << 20));
  EXPECT_EQ(parse_memory("4096K"), 4096.0 * 1024);
  EXPECT_EQ(parse_memory("4g"), 4.0 * (1 << 30));
  EXPECT_EQ(parse_memory("1T"), 1024.0 * (1 << 30));
  for (const char* bad : {"G", "4X", "4.5G", "4GB", "-1G"})
    EXPECT_THROW(parse_memory(bad), ConfigError) << bad;
}

TEST(Site, WarnsOfRunsThatNeedMoreMemoryThanItGives) {
  sweep::Plan plan;
  sweep::GroupMemory small{"cifar10", "resnet20", "scrub", {}},
      large{"imdb", "bert-base-uncased", "bad_t", {}};
  small.memory.process = 3e8;
  large.memory.process = 3e8, large.memory.leaf = 2e9, large.memory.grains = 4;  // two buffers on one rank
  plan.memory = {small, large};
  Site site;
  EXPECT_TRUE(memory_warnings(plan, site).empty());  // nothing is asked for
  site.memory_per_cpu = "4G";
  const auto warned = memory_warnings(plan, site);
  ASSERT_EQ(warned.size(), 1u);
  EXPECT_EQ(
      warned[0].rfind(
          "bert-base-uncased on imdb: a rank needs about 4.56 GiB (bad_t), the site gives it 4.00 GiB", 0),
      0u)
      << warned[0];
  site.cpus_per_rank = 2;
  EXPECT_TRUE(memory_warnings(plan, site).empty());
  site.cpus_per_rank = 1, site.ranks_per_cell = 4;  // one buffer
  EXPECT_TRUE(memory_warnings(plan, site).empty());
}

}  // namespace
}  // namespace expunge::cluster
