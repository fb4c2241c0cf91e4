#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "methods/method.hpp"
#include "tests/cli/command.hpp"

namespace expunge {
namespace {

namespace fs = std::filesystem;
using test::run_command;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
std::string quickstart() { return EXPUNGE_SOURCE_DIR "/jobs/quickstart.toml"; }

TEST(Cli, HelpAndVersion) {
  const auto help = run_command({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* part : {"usage: expunge COMMAND", "check", "list", "plan"})
    EXPECT_TRUE(contains(help.out, part)) << part;
  EXPECT_EQ(help.err, "");
  const auto version = run_command({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(version.out.rfind("expunge ", 0), 0u);
  const auto plan = run_command({"plan", "--help"});
  EXPECT_EQ(plan.exit_code, 0);
  EXPECT_TRUE(contains(plan.out, "--gflops N")) << plan.out;
  EXPECT_EQ(run_command({"help", "plan"}).out, plan.out);
}

TEST(Cli, MistakesOnTheCommandLine) {
  const auto none = run_command({});
  EXPECT_EQ(none.exit_code, kExitUsage);
  EXPECT_EQ(none.out, "");
  const auto command = run_command({"plam"});
  EXPECT_EQ(command.exit_code, kExitUsage);
  EXPECT_TRUE(contains(command.err, "expunge: unknown command \"plam\"; did you mean \"plan\"?"))
      << command.err;
  const auto option = run_command({"plan", quickstart(), "--jsno"});
  EXPECT_EQ(option.exit_code, kExitUsage);
  EXPECT_TRUE(contains(option.err, "expunge: plan: unknown option --jsno; did you mean \"--json\"?"))
      << option.err;
  EXPECT_EQ(run_command({"plan"}).err, "expunge: plan: JOB.toml is missing; see expunge plan --help\n");
  EXPECT_EQ(run_command({"plan", "a", "b"}).err, "expunge: plan: unexpected \"b\"\n");
  EXPECT_EQ(run_command({"plan", quickstart(), "--out"}).err,
            "expunge: plan: --out needs a value; see expunge plan --help\n");
  EXPECT_EQ(run_command({"plan", quickstart(), "--json=1"}).err, "expunge: plan: --json takes no value\n");
  EXPECT_EQ(run_command({"plan", quickstart(), "--gflops", "fast"}).err,
            "expunge: plan: --gflops fast: expected a number > 0; see expunge plan --help\n");
  EXPECT_EQ(run_command({"plan", quickstart(), "--set", "lr"}).err,
            "expunge: --set lr: expected section.key=value\n");
  EXPECT_EQ(run_command({"list", "metods"}).exit_code, kExitUsage);
  EXPECT_EQ(run_command({"--log-format", "xml", "list"}).err,
            "expunge: --log-format xml: expected text or json\n");
}

TEST(Cli, MessagesAsJson) {
  const auto result = run_command({"plam", "--log-format", "json"});
  EXPECT_EQ(result.exit_code, kExitUsage);
  const auto message = nlohmann::json::parse(result.err);
  EXPECT_EQ(message.at("level"), "error");
  EXPECT_TRUE(contains(message.at("message"), "unknown command"));
}

TEST(Cli, EveryJobOfTheProjectIsRight) {
  std::vector<std::string> words{"check"};
  for (const auto& entry : fs::directory_iterator(EXPUNGE_SOURCE_DIR "/jobs"))
    if (entry.path().extension() == ".toml") words.push_back(entry.path().string());
  ASSERT_GE(words.size(), 3u);
  const auto result = run_command(words);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(static_cast<std::size_t>(std::count(result.out.begin(), result.out.end(), '\n')),
            words.size() - 1)
      << result.out;
}

TEST(Cli, CheckTellsAllProblemsOfAllFiles) {
  const test::TemporaryFolder folder;
  const auto first = folder.path() / "first.toml", second = folder.path() / "second.toml",
             third = folder.path() / "third.toml";
  std::ofstream(first) << "[sweep]\ndataset = [\"fashion_mnist\"]\nmethod = [\"scurb\"]\nmodel = "
                          "[\"resnet8\"]\nratio = [2.0]\n";
  std::ofstream(second) << "[sweep\n";
  std::ofstream(third) << "[sweep]\ndataset = [\"fashion_mnist\"]\nmethod = [\"scrub\"]\nmodel = "
                          "[\"resnet8\"]\nratio = [0.1]\n";
  const auto result = run_command({"check", first.string(), second.string(), third.string()});
  EXPECT_EQ(result.exit_code, kExitConfig);
  EXPECT_TRUE(contains(result.err, "expunge: " + first.string() +
                                       ":3:11: sweep.method: unknown \"scurb\"; did you mean \"scrub\"?"))
      << result.err;
  EXPECT_TRUE(
      contains(result.err, "expunge: " + first.string() + ":5:10: sweep.ratio: must be in (0, 1], got 2"))
      << result.err;
  EXPECT_TRUE(contains(result.err, "expunge: " + second.string() + ":1:")) << result.err;
  EXPECT_EQ(result.out, third.string() + ": ok: 1 cell, 1 original\n");
  const auto absent = run_command({"check", (folder.path() / "absent.toml").string()});
  EXPECT_EQ(absent.exit_code, kExitMissing);
  EXPECT_TRUE(contains(absent.err, "absent.toml")) << absent.err;
}

TEST(Cli, ListDocumentsWhatIsRegistered) {
  const auto all = run_command({"list"});
  EXPECT_EQ(all.exit_code, 0);
  for (const char* part : {"methods: ", "models: ", "datasets: ", "metrics: ", "tasks: classification",
                           "scrub", "resnet8", "fashion_mnist"})
    EXPECT_TRUE(contains(all.out, part)) << part;
  const auto methods = run_command({"list", "methods"});
  for (const auto& name : methods::descriptor_names()) {
    EXPECT_TRUE(contains(methods.out, "\n" + name + " ")) << name;
    const auto one = run_command({"list", "methods", name});
    EXPECT_EQ(one.exit_code, 0);
    EXPECT_TRUE(contains(one.out, "optimizer.lr")) << one.out;
  }
  EXPECT_TRUE(contains(run_command({"list", "methods", "scrub"}).out, "max_epochs"));
  EXPECT_TRUE(contains(run_command({"list", "models"}).out, "resnet8"));
  EXPECT_TRUE(contains(run_command({"list", "models", "resnet8"}).out, "1x28x28"));
  EXPECT_TRUE(contains(run_command({"list", "datasets"}).out, "60000"));
  EXPECT_TRUE(contains(run_command({"list", "datasets", "fashion_mnist"}).out, "train_limit"));
  EXPECT_TRUE(contains(run_command({"list", "metrics"}).out, "accuracy"));
  EXPECT_TRUE(contains(run_command({"list", "metrics", "accuracy"}).out, "forget_accuracy"));
  const auto wrong = run_command({"list", "methods", "scurb"});
  EXPECT_EQ(wrong.exit_code, kExitUsage);
  EXPECT_TRUE(contains(wrong.err, "did you mean \"scrub\"?")) << wrong.err;
}

TEST(Cli, PlanCountsWhatIsDone) {
  const test::TemporaryFolder folder;
  const auto out = folder.path().string();
  const auto before = run_command({"plan", quickstart(), "--json", "--out", out});
  ASSERT_EQ(before.exit_code, 0) << before.err;
  const auto plan = nlohmann::json::parse(before.out);
  EXPECT_EQ(plan.at("cells").size(), 32u);
  EXPECT_EQ(plan.at("originals").size(), 1u);
  EXPECT_EQ(plan.at("missing"), 32);
  EXPECT_GT(plan.at("to_do").at("originals_flops").get<double>(), 0);

  const auto cell = plan.at("cells")[5].at("id").get<std::string>();
  const auto store = folder.path() / "quickstart" / "cells" / cell.substr(0, 2) / (cell + ".h5");
  fs::create_directories(store.parent_path());
  std::ofstream(store) << "x";
  const auto after = nlohmann::json::parse(run_command({"plan", quickstart(), "--json", "--out", out}).out);
  EXPECT_EQ(after.at("done"), 1);
  EXPECT_EQ(after.at("missing"), 31);
  EXPECT_EQ(after.at("cells")[5].at("state"), "done");
  EXPECT_LT(after.at("to_do").at("cells_flops").get<double>(),
            plan.at("to_do").at("cells_flops").get<double>());

  const auto text =
      run_command({"plan", quickstart(), "--cells", "--out", out, "--gflops", "10", "--ranks", "2"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_TRUE(contains(text.out, "quickstart: 32 cells from 1 original\n")) << text.out;
  EXPECT_TRUE(contains(text.out, "1 done, 0 failed, 31 missing")) << text.out;
  EXPECT_TRUE(contains(text.out, "on 2 ranks of 10 GFLOP/s each")) << text.out;
  EXPECT_TRUE(contains(text.out, cell)) << text.out;
  EXPECT_EQ(text.err, "");
}

TEST(Cli, ResultsThatCannotBeWrittenAreAnError) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const int status = std::system((test::quoted(EXPUNGE_BINARY) + " list > /dev/full 2> /dev/null").c_str());
  EXPECT_EQ(WEXITSTATUS(status), kExitCannotWrite);
}

}  // namespace
}  // namespace expunge
