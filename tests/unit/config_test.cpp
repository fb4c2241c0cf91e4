#include <gtest/gtest.h>

#include "config/job.hpp"
#include "config/reader.hpp"
#include "config/train_options.hpp"
#include "core/error.hpp"

namespace expunge::config {
namespace {

Job job_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return parse_job(text, "x.toml", overrides);
}

TEST(Position, NamesFileLineAndColumn) {
  EXPECT_EQ((Position{"jobs/x.toml", 14, 10}.text()), "jobs/x.toml:14:10");
  EXPECT_EQ((Position{"--set", 0, 0}.text()), "--set");
}

TEST(Range, ContainsAndSaysWhat) {
  EXPECT_TRUE(ge(0).contains(0));
  EXPECT_FALSE(gt(0).contains(0));
  EXPECT_FALSE(between(0, 1).contains(1.0001));
  EXPECT_FALSE(between(0, 1).contains(std::numeric_limits<double>::quiet_NaN()));
  EXPECT_EQ(gt(0).text(), "> 0");
  EXPECT_EQ(ge(1).text(), ">= 1");
  EXPECT_EQ(between(0, 1).text(), "in [0, 1]");
  EXPECT_EQ((Range{.low = 0, .high = 1, .low_open = true}.text()), "in (0, 1]");
  EXPECT_EQ(any().text(), "");
}

TEST(Diagnostics, OrdersByPositionAndDropsDuplicates) {
  Diagnostics problems;
  problems.add({"x.toml", 10, 1}, "b", "second");
  problems.add({"x.toml", 9, 20}, "a", "unknown key; did you mean \"c\"?");
  problems.add({"x.toml", 9, 20}, "a", "unknown key; did you mean \"d\"?");
  EXPECT_EQ(problems.size(), 2u);
  EXPECT_EQ(problems.reports(), 3u);
  EXPECT_EQ(problems.text(), "x.toml:9:20: a: unknown key; did you mean \"c\"?\nx.toml:10:1: b: second");
  EXPECT_THROW(problems.throw_if_any(), ConfigError);
  EXPECT_NO_THROW(Diagnostics{}.throw_if_any());
}

TEST(Job, SyntaxErrorHasPosition) {
  try {
    job_of("[sweep]\nname = \n");
    FAIL() << "no error";
  } catch (const ConfigError& error) {
    EXPECT_EQ(std::string(error.what()).rfind("x.toml:2:", 0), 0u) << error.what();
  }
}

TEST(Job, KeepsPositionsOfValuesAndElements) {
  const auto job = job_of("[sweep]\nmethod = [\"a\",\n  \"b\"]\n");
  const Node* method = job.find({"sweep", "method"});
  ASSERT_NE(method, nullptr);
  EXPECT_EQ(method->at.text(), "x.toml:2:10");
  ASSERT_EQ(method->items.size(), 2u);
  EXPECT_EQ(method->items[0].text(), "x.toml:2:11");
  EXPECT_EQ(method->items[1].text(), "x.toml:3:3");
  EXPECT_EQ(method->path, "sweep.method");
}

TEST(Job, OverridesAreTomlOrBareWords) {
  const auto job = job_of("", {"train.lr=1e-3", "sweep.name=trial-2", "sweep.seed=[1, 2]",
                               "method.scrub.flag=true", "train.lr=2"});
  EXPECT_EQ(job.find({"train", "lr"})->value, 2);
  EXPECT_EQ(job.find({"sweep", "name"})->value, "trial-2");
  EXPECT_EQ(job.find({"sweep", "seed"})->value, nlohmann::json::parse("[1, 2]"));
  EXPECT_EQ(job.find({"method", "scrub", "flag"})->value, true);
  EXPECT_EQ(job.find({"train", "lr"})->at.text(), "--set");
}

TEST(Job, BadOverrides) {
  for (const char* bad : {"train.lr", "lr=1", "=1", ".lr=1", "train..lr=1"})
    EXPECT_THROW(job_of("", {bad}), UsageError) << bad;
  EXPECT_THROW(job_of("", {"train.lr="}), ConfigError);
  EXPECT_THROW(job_of("", {"sweep.seed=[1,"}), ConfigError);
}

TEST(Reader, LaterLayersWinAndOverridesWinOverAll) {
  const auto job = job_of("[a]\nx = 1\ny = 1\nz = 1\n[b]\nx = 2\ny = 2\n", {"a.x=3"});
  Diagnostics problems;
  Reader in("s", job.layers({{"a"}, {"b"}}), problems);
  EXPECT_EQ(in.integer("x", 0, any(), ""), 3);
  EXPECT_EQ(in.integer("y", 0, any(), ""), 2);
  EXPECT_EQ(in.integer("z", 0, any(), ""), 1);
  EXPECT_EQ(in.integer("w", 7, any(), ""), 7);
  in.finish();
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ(in.resolved_values().dump(), R"({"w":7,"x":3,"y":2,"z":1})");
}

TEST(Reader, TellsEveryProblemAtOnce) {
  const auto job = job_of(
      "[method.scrub]\n"
      "max_epochs = -1\n"
      "alpha      = \"high\"\n"
      "mode       = \"chek\"\n"
      "temprature = 2.0\n"
      "steps      = 1.5\n"
      "rates      = [1, -2]\n"
      "deep       = 1\n");
  Diagnostics problems;
  Reader in("method.scrub", job.layers({{"method", "scrub"}}), problems);
  EXPECT_EQ(in.integer("max_epochs", 3, ge(0), ""), 3);
  EXPECT_EQ(in.number("alpha", 0.5, ge(0), ""), 0.5);
  EXPECT_EQ(in.choice("mode", "check", {"check", "run"}, ""), "check");
  EXPECT_EQ(in.number("temperature", 1, gt(0), ""), 1);
  EXPECT_EQ(in.integer("steps", 2, gt(0), ""), 2);
  EXPECT_EQ(in.numbers("rates", {}, gt(0), ""), std::vector<double>{});
  in.table("deep").finish();
  in.finish();
  EXPECT_EQ(problems.text(),
            "x.toml:2:14: method.scrub.max_epochs: must be >= 0, got -1\n"
            "x.toml:3:14: method.scrub.alpha: expected a number, got \"high\"\n"
            "x.toml:4:14: method.scrub.mode: unknown \"chek\"; did you mean \"check\"? (have: check, run)\n"
            "x.toml:5:14: method.scrub.temprature: unknown key; did you mean \"temperature\"? (have: alpha, "
            "deep, max_epochs, mode, "
            "rates, steps, temperature)\n"
            "x.toml:6:14: method.scrub.steps: expected an integer, got 1.5\n"
            "x.toml:7:18: method.scrub.rates: must be > 0, got -2\n"
            "x.toml:8:14: method.scrub.deep: expected a table, got 1");
}

TEST(Reader, ProblemsNameTheSectionThatWasWritten) {
  const auto job = job_of("[train]\nlr = -1\n[method.scrub]\nepochs = 2\n");
  Diagnostics problems;
  Reader in("method.scrub", job.layers({{"train"}, {"method", "scrub"}}), problems);
  read_train_options(in, {});
  in.finish();
  EXPECT_EQ(problems.text(), "x.toml:2:6: train.lr: must be >= 0, got -1");
}

TEST(Reader, NonFiniteNumbersAreRefused) {
  const auto job = job_of("[s]\na = nan\nb = inf\n");
  Diagnostics problems;
  Reader in("s", job.layers({{"s"}}), problems);
  in.number("a", 1, any(), "");
  in.number("b", 1, gt(0), "");
  EXPECT_EQ(problems.text(),
            "x.toml:2:5: s.a: must be finite, got nan\nx.toml:3:5: s.b: must be > 0, got inf");
}

TEST(Reader, IntegersAreNumbersAndResolveAsSuch) {
  const auto whole = job_of("[s]\nlr = 1\n"), decimal = job_of("[s]\nlr = 1.0\n");
  Diagnostics problems;
  Reader a("s", whole.layers({{"s"}}), problems), b("s", decimal.layers({{"s"}}), problems);
  a.number("lr", 0, any(), "");
  b.number("lr", 0, any(), "");
  EXPECT_EQ(a.resolved_values().dump(), b.resolved_values().dump());
}

TEST(Reader, NestedTablesMergeIntoResolvedAndDocs) {
  const auto job = job_of("[s]\nopt = \"sgd\"\n[t]\nopt = { lr = 0.5 }\n");
  Diagnostics problems;
  Reader in("s", job.layers({{"s"}, {"t"}}), problems);
  Reader table = in.table("opt");
  EXPECT_EQ(table.text("name", "adamw", "which"), "sgd");
  EXPECT_EQ(table.number("lr", 0.1, gt(0), "rate"), 0.5);
  table.finish();
  in.finish();
  EXPECT_TRUE(problems.empty()) << problems.text();
  EXPECT_EQ(in.resolved_values().dump(), R"({"opt":{"lr":0.5,"name":"sgd"}})");
  ASSERT_EQ(in.docs().size(), 2u);
  EXPECT_EQ(in.docs()[1].key, "opt.lr");
  EXPECT_EQ(in.docs()[1].domain, "> 0");
}

TEST(Reader, ResolvedSectionsReadBackToTheSame) {
  const auto job = job_of(
      "[train]\noptimizer = { name = \"sgd\", lr = 0.25 }\nmomentum = 0.9\nlr_steps = [2, 4]\nepochs = 3\n");
  Diagnostics problems;
  Reader first("train", job.layers({{"train"}}), problems);
  read_train_options(first, {});
  auto again = Reader::resolved("train", first.resolved_values(), problems);
  const auto o = read_train_options(again, {});
  again.finish();
  EXPECT_TRUE(problems.empty()) << problems.text();
  EXPECT_EQ(o.optimizer.name, "sgd");
  EXPECT_EQ(o.optimizer.lr, 0.25);
  EXPECT_EQ(o.optimizer.momentum, 0.9);
  EXPECT_EQ(o.epochs, 3);
  EXPECT_EQ(o.lr_steps, (std::vector<double>{2, 4}));
  EXPECT_EQ(first.resolved_values(), again.resolved_values());
}

TEST(TrainOptions, ShortFormsYieldToTheTableOfTheirLayerOnly) {
  const auto job = job_of(
      "[train]\noptimizer = { lr = 0.1 }\n[method]\nlr = 0.2\n[both]\nlr = 0.3\noptimizer = { lr = 0.4 }\n");
  Diagnostics problems;
  Reader method("m", job.layers({{"train"}, {"method"}}), problems);
  EXPECT_EQ(read_train_options(method, {}).optimizer.lr, 0.2);
  Reader both("m", job.layers({{"train"}, {"method"}, {"both"}}), problems);
  EXPECT_EQ(read_train_options(both, {}).optimizer.lr, 0.4);
  EXPECT_FALSE(both.resolved_values().contains("lr"));
  EXPECT_TRUE(problems.empty()) << problems.text();
}

TEST(TrainOptions, DefaultGrain) {
  EXPECT_EQ(default_grain(128, false), 32);
  EXPECT_EQ(default_grain(1024, true), 32);
  EXPECT_EQ(default_grain(64, true), 16);
  EXPECT_EQ(default_grain(16, true), 8);
  EXPECT_EQ(default_grain(16, false), 4);
  EXPECT_EQ(default_grain(1, false), 1);
}

}  // namespace
}  // namespace expunge::config
