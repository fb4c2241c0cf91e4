// Sweeps against the methods, models, data sets and metrics that are registered; the data sets' files need
// not be there.
#include "sweep/sweep.hpp"
#include "sweep/outline.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/hash.hpp"
#include "methods/method.hpp"
#include "models/descriptor.hpp"
#include "sweep/outline.hpp"
#include "sweep/plan_json.hpp"
#include "sweep/status.hpp"

namespace expunge::sweep {
namespace {

const std::string kAxes =
    "[sweep]\n"
    "dataset = [\"fashion_mnist\"]\n"
    "model = [\"resnet8\"]\n"
    "method = [\"retrain\", \"scrub\"]\n"
    "ratio = [0.02, 0.1]\n"
    "seed = [42, 87]\n";
const std::string kRest =
    "[data]\ntrain_limit = 1000\ntest_limit = 200\n[original]\nepochs = 2\nbatch = 100\n";

class SweepTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("expunge_sweep_test." + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  Plan plan(const std::string& text, const std::vector<std::string>& overrides = {}) {
    std::ofstream(file()) << text;
    return load(file(), overrides);
  }
  // The problems, with the file's path cut off.
  std::string problems(const std::string& text, const std::vector<std::string>& overrides = {}) {
    try {
      plan(text, overrides);
      return "";
    } catch (const ConfigError& error) {
      std::string out = error.what();
      for (std::size_t at; (at = out.find(file().string())) != std::string::npos;)
        out.replace(at, file().string().size(), "J");
      return out;
    }
  }
  fs::path file() const { return folder_ / "job.toml"; }
  fs::path folder_;
};

std::set<std::string> ids(const Plan& plan) {
  std::set<std::string> out;
  for (const auto& cell : plan.cells) out.insert(cell.id);
  return out;
}

const Cell& cell_of(const Plan& plan, const std::string& method, const std::string& ratio = "0.1",
                    std::int64_t seed = 42) {
  for (const auto& cell : plan.cells)
    if (cell.method == method && cell.ratio.text == ratio && cell.seed == seed) return cell;
  throw std::runtime_error("no such cell");
}

TEST_F(SweepTest, CellsInAxisOrderLastFastest) {
  const auto p = plan(kAxes + kRest);
  ASSERT_EQ(p.cells.size(), 8u);
  ASSERT_EQ(p.originals.size(), 1u);
  EXPECT_EQ(p.name, "job");
  EXPECT_EQ(p.cells[0].key, "dataset=fashion_mnist/model=resnet8/method=retrain/ratio=0.02/seed=42");
  EXPECT_EQ(p.cells[1].key, "dataset=fashion_mnist/model=resnet8/method=retrain/ratio=0.02/seed=87");
  EXPECT_EQ(p.cells[7].key, "dataset=fashion_mnist/model=resnet8/method=scrub/ratio=0.1/seed=87");
  EXPECT_EQ(p.originals[0].key, "dataset=fashion_mnist/model=resnet8/seed=42");
  EXPECT_EQ(ids(p).size(), 8u);
  for (const auto& cell : p.cells) {
    EXPECT_EQ(cell.id.size(), 16u);
    EXPECT_EQ(cell.id.find_first_not_of("0123456789abcdef"), std::string::npos);
    EXPECT_EQ(cell.id, sha256_hex(cell.settings.dump()).substr(0, 16));
    EXPECT_EQ(cell.settings.at("original_id"), p.originals[0].id);
  }
}

TEST_F(SweepTest, AnOutlineHasTheSameCellsWithoutTheirSettings) {
  const auto whole = plan(kAxes + kRest);
  const auto outline = load_outline(whole.file);
  ASSERT_EQ(outline.cells.size(), whole.cells.size());
  EXPECT_EQ(outline.sha256, whole.sha256);
  for (std::size_t i = 0; i < whole.cells.size(); ++i) {
    EXPECT_EQ(outline.cells[i].id, whole.cells[i].id);
    EXPECT_EQ(outline.cells[i].key, whole.cells[i].key);
    EXPECT_EQ(outline.cells[i].flops, whole.cells[i].flops);
    EXPECT_TRUE(outline.cells[i].settings.is_null());
    // The id is the hash of the settings, however it was made.
    EXPECT_EQ(whole.cells[i].id, settings_id(whole.cells[i].settings));
  }
}

TEST_F(SweepTest, IdsIgnoreOrderNamesAndHowTheJobIsRun) {
  const auto base = plan(kAxes + kRest);
  const std::string reordered =
      "[original]\nbatch = 100\nepochs = 2\n[data]\ntest_limit = 200\ntrain_limit = 1000\n[sweep]\nseed = "
      "[87, 42]\nratio = [0.10, 0.02]\n"
      "method = [\"scrub\", \"retrain\"]\nmodel = \"resnet8\"\ndataset = \"fashion_mnist\"\nname = "
      "\"another\"\n";
  const auto other = plan(reordered);
  EXPECT_EQ(ids(base), ids(other));
  EXPECT_EQ(base.sha256, other.sha256);
  EXPECT_EQ(base.originals[0].id, other.originals[0].id);
  for (const std::string same :
       {"run.stall_seconds=5", "run.keep_outputs=true", "run.checkpoint_seconds=7", "run.checkpoint_steps=3",
        "data.class_weights=none", "sweep.name=x", "dataset.fashion_mnist.path=/nowhere",
        "evaluate.metrics=[\"zrf\",\"overall\",\"mia\",\"flops\",\"auc\",\"accuracy\"]", "original.seed=[42]",
        "train.grain=32", "comm.reduction=ordered", "comm.topology=flat", "comm.topology=auto",
        "evaluate.grain=64", "evaluate.splits=[\"test\",\"val\",\"retain\",\"forget\"]"})
    EXPECT_EQ(ids(plan(kAxes + kRest, {same})), ids(base)) << same;
}

TEST_F(SweepTest, EveryScienceSettingChangesIds) {
  const auto base = plan(kAxes + kRest);
  const auto expect_changed = [&](const std::string& set, const std::string& method, bool original) {
    const auto p = plan(kAxes + kRest, {set});
    EXPECT_NE(cell_of(p, method).id, cell_of(base, method).id) << set;
    EXPECT_EQ(p.originals[0].id != base.originals[0].id, original) << set;
  };
  for (const std::string set :
       {"data.train_limit=900", "data.test_limit=100", "data.split_seed=1", "data.val_fraction=0.1",
        "data.unit=class", "data.class_weights=balanced", "data.augment_crop=4", "data.augment_flip=true",
        "original.lr=0.01", "original.epochs=3", "original.batch=50", "original.seed=1",
        "original.precision=bf16", "comm.reduction=native", "evaluate.grain=32",
        "dataset.fashion_mnist.mean=0.5"}) {
    expect_changed(set, "scrub", true);
    expect_changed(set, "retrain", true);
  }
  for (const std::string set :
       {"train.lr=0.01", "train.epochs=3", "train.threads=2", "train.grain=8", "train.bn=frozen",
        "method.scrub.max_epochs=1", "method.scrub.alpha=0.25", "method.scrub.batch=64", "budget.flops=1e9",
        "evaluate.seed=1", "evaluate.random_networks=3", "evaluate.metrics=[\"accuracy\"]",
        "evaluate.splits=[\"forget\",\"test\"]"})
    expect_changed(set, "scrub", false);
  EXPECT_EQ(cell_of(plan(kAxes + kRest, {"train.lr=0.01"}), "retrain").id, cell_of(base, "retrain").id);
}

TEST_F(SweepTest, SplitsThatAreNotEvaluatedCostNothing) {
  const auto all = plan(kAxes + kRest, {"data.val_fraction=0.1"});
  const auto some = plan(kAxes + kRest, {"data.val_fraction=0.1", "evaluate.splits=[\"forget\",\"test\"]"});
  // 1000 training samples of which a tenth validates, 200 test samples; D_f is a tenth of the rest.
  const auto price = [](const Plan& p) { return cell_of(p, "scrub").eval_flops; };
  EXPECT_NEAR(price(some) / price(all), (90.0 + 200) / (1000 + 200), 1e-12);
  const std::string text = problems(kAxes + kRest, {"evaluate.splits=[\"forget\",\"tset\"]"});
  EXPECT_NE(text.find("evaluate.splits: unknown split \"tset\" (have: forget, retain, test, val)"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("evaluate.splits: \"test\" is always evaluated: add it"), std::string::npos) << text;
}

TEST_F(SweepTest, SharedCellsOfTwoSweepsHaveOneId) {
  const auto base = plan(kAxes + kRest);
  const auto subset = plan(kAxes + kRest, {"sweep.method=scrub", "sweep.seed=87", "sweep.name=b"});
  ASSERT_EQ(subset.cells.size(), 2u);
  for (const auto& id : ids(subset)) EXPECT_EQ(ids(base).count(id), 1u);
  EXPECT_NE(subset.sha256, base.sha256);
}

TEST_F(SweepTest, PrecedenceOfSections) {
  const std::string all = kAxes + kRest +
                          "[train]\nbatch = 1\n"
                          "[dataset.fashion_mnist.train]\nbatch = 2\n"
                          "[model.resnet8.train]\nbatch = 3\n"
                          "[method.scrub]\nbatch = 4\n"
                          "[dataset.fashion_mnist.method.scrub]\nbatch = 5\n"
                          "[model.resnet8.method.scrub]\nbatch = 6\n";
  const std::vector<std::string> sections = {
      "[train]\n",        "[dataset.fashion_mnist.train]\n",        "[model.resnet8.train]\n",
      "[method.scrub]\n", "[dataset.fashion_mnist.method.scrub]\n", "[model.resnet8.method.scrub]\n"};
  std::string text = all;
  for (int batch = 6; batch >= 1; --batch) {
    EXPECT_EQ(cell_of(plan(text), "scrub").settings.at("method_options").at("batch"), batch);
    EXPECT_EQ(cell_of(plan(text, {"train.batch=9"}), "scrub").settings.at("method_options").at("batch"), 9);
    const std::string& section = sections[static_cast<std::size_t>(batch - 1)];
    const auto at = text.find(section);
    text.erase(at, section.size() + std::string("batch = N\n").size());
  }
  const auto data =
      plan(kAxes + kRest +
           "[dataset.fashion_mnist.data]\ntrain_limit = 800\n[model.resnet8.data]\ntest_limit = 150\n");
  EXPECT_EQ(data.cells[0].settings.at("data").at("train_limit"), 800);
  EXPECT_EQ(data.cells[0].settings.at("data").at("test_limit"), 150);
}

TEST_F(SweepTest, RetrainTakesTheOriginalsRecipe) {
  const auto p = plan(kAxes + kRest + "[train]\nepochs = 9\nlr = 0.5\n[model.resnet8.original]\nlr = 0.03\n");
  const auto& options = cell_of(p, "retrain").settings.at("method_options");
  EXPECT_EQ(options, p.originals[0].settings.at("original"));
  EXPECT_EQ(options.at("epochs"), 2);
  EXPECT_EQ(options.at("optimizer").at("lr"), 0.03);
  EXPECT_EQ(options.at("grain"), 16);  // of batch 100: made explicit
  EXPECT_EQ(cell_of(p, "scrub").settings.at("method_options").at("epochs"), 9);
  const auto own = plan(kAxes + kRest + "[method.retrain]\nepochs = 5\n");
  EXPECT_EQ(cell_of(own, "retrain").settings.at("method_options").at("epochs"), 5);
  EXPECT_EQ(own.originals[0].settings.at("original").at("epochs"), 2);
}

models::Cost resnet8_cost() {
  const auto* d = models::find_descriptor("resnet8");
  return d->cost(d->config("resnet8", {1, 28, 28, 10}), 28, 28);
}

TEST_F(SweepTest, PricesFollowThePhases) {
  const auto p = plan(kAxes + kRest + "[method.scrub]\nepochs = 3\nmax_epochs = 2\nbatch = 50\n");
  const auto cost = resnet8_cost();
  const double both = cost.forward + cost.backward;
  const auto& scrub = cell_of(p, "scrub");
  // 1000 training samples, 100 of them forgotten: two forget passes and three retain passes, each with the
  // teacher.
  EXPECT_DOUBLE_EQ(scrub.flops, (2 * 100 + 3 * 900) * (both + cost.forward));
  EXPECT_EQ(scrub.total_steps, 2 * 2 + 3 * 18);
  EXPECT_DOUBLE_EQ(scrub.eval_flops, 1200 * cost.forward);
  EXPECT_DOUBLE_EQ(scrub.retrain_flops, 2 * 900 * both);
  EXPECT_DOUBLE_EQ(cell_of(p, "retrain").flops, 2 * 900 * both);
  EXPECT_EQ(cell_of(p, "retrain").total_steps, 2 * 9);
  EXPECT_DOUBLE_EQ(p.originals[0].flops, 2 * 1000 * both);
  EXPECT_EQ(scrub.budget_flops, 0);
}

TEST_F(SweepTest, RatiosAreExactFractions) {
  // 0.29 * 100 is 28.999999999999996 in doubles.
  const auto p = plan(kAxes + kRest, {"data.train_limit=100", "sweep.ratio=[0.29]"});
  EXPECT_EQ(p.cells[0].ratio.text, "0.29");
  const auto cost = resnet8_cost();
  EXPECT_DOUBLE_EQ(p.cells[0].flops, 2 * 71 * (cost.forward + cost.backward));
}

TEST_F(SweepTest, Budgets) {
  const auto relative = plan(kAxes + kRest + "[budget]\nflops = \"10% of retrain\"\n");
  EXPECT_DOUBLE_EQ(cell_of(relative, "scrub").budget_flops, 0.1 * cell_of(relative, "scrub").retrain_flops);
  EXPECT_EQ(cell_of(relative, "retrain").budget_flops, 0);
  const auto longer =
      plan(kAxes + kRest + "[budget]\nflops = \"10% of retrain\"\n[method.retrain]\nepochs = 4\n");
  EXPECT_DOUBLE_EQ(cell_of(longer, "scrub").budget_flops, 2 * cell_of(relative, "scrub").budget_flops);
  EXPECT_NE(cell_of(longer, "scrub").id, cell_of(relative, "scrub").id);
  const auto absolute = plan(kAxes + kRest + "[budget]\nflops = 2.5e9\n");
  EXPECT_EQ(cell_of(absolute, "scrub").budget_flops, 2.5e9);
  EXPECT_EQ(cell_of(absolute, "retrain").budget_flops, 2.5e9);
  for (const char* bad : {"\"10% of original\"", "0", "-1", "\"fast\"", "true", "\"-5% of retrain\""})
    EXPECT_NE(problems(kAxes + kRest + "[budget]\nflops = " + bad + "\n")
                  .find("J:14:9: budget.flops: expected a number of FLOPs > 0 or \"10% of retrain\", got "),
              std::string::npos)
        << bad;
}

TEST_F(SweepTest, OriginalSeedsAreAnAxis) {
  const auto p = plan(kAxes + kRest, {"original.seed=[1, 2]"});
  ASSERT_EQ(p.originals.size(), 2u);
  EXPECT_EQ(p.cells.size(), 16u);
  EXPECT_EQ(ids(p).size(), 16u);
  EXPECT_EQ(p.cells[1].key,
            "dataset=fashion_mnist/model=resnet8/method=retrain/ratio=0.02/seed=42/original_seed=2");
  EXPECT_EQ(p.cells[1].original, 1u);
  EXPECT_NE(p.originals[0].id, p.originals[1].id);
}

TEST_F(SweepTest, ExcludeAndInclude) {
  const auto without = plan(
      kAxes + "exclude = [{ method = \"scrub\", ratio = 0.02 }, { seed = [87], method = \"retrain\" }]\n" +
      kRest);
  EXPECT_EQ(without.cells.size(), 4u);
  for (const auto& cell : without.cells) {
    EXPECT_FALSE(cell.method == "scrub" && cell.ratio.text == "0.02");
    EXPECT_FALSE(cell.method == "retrain" && cell.seed == 87);
  }
  // Axes that an include leaves out are taken whole; cells that are there already are not repeated.
  const auto with =
      plan(kAxes + "include = [{ method = \"finetune\", seed = 7 }, { method = \"scrub\" }]\n" + kRest);
  EXPECT_EQ(with.cells.size(), 10u);
  EXPECT_EQ(with.cells[8].key, "dataset=fashion_mnist/model=resnet8/method=finetune/ratio=0.02/seed=7");
  EXPECT_EQ(with.cells[9].key, "dataset=fashion_mnist/model=resnet8/method=finetune/ratio=0.1/seed=7");
  EXPECT_EQ(problems(kAxes + "exclude = [{ methd = \"scrub\" }, { ratio = 0.5 }]\n" + kRest),
            "J:7:12: sweep.exclude.methd: unknown key; did you mean \"method\"? (have: dataset, method, "
            "model, ratio, seed)\n"
            "J:7:33: sweep.exclude.ratio: 0.5 is not on the axis (0.02, 0.1)");
  EXPECT_EQ(problems(kAxes + "exclude = [{ dataset = \"fashion_mnist\" }]\n" + kRest),
            "J:1:1: sweep: no cell is left: `exclude` removes them all");
}

TEST_F(SweepTest, MistakesInAxes) {
  const std::string text = problems(
      "[sweep]\n"
      "dataset = []\n"
      "model = [\"resnet8\", \"resnet8\"]\n"
      "method = [\"scurb\", 3]\n"
      "ratio = [0, 1.5, 0.1, 0.10, \"all\", 0.12345678901]\n"
      "seed = [1.5, -1, 2]\n"
      "sede = [1]\n");
  const auto expect_line = [&](const std::string& line) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n---\n" << text;
  };
  expect_line("J:2:11: sweep.dataset: empty: an axis needs at least one value");
  expect_line("J:3:21: sweep.model: \"resnet8\" stands twice");
  expect_line("J:4:11: sweep.method: unknown \"scurb\"; did you mean \"scrub\"? (have: ");
  expect_line("J:4:20: sweep.method: expected a string, got 3");
  expect_line("J:5:10: sweep.ratio: must be in (0, 1], got 0");
  expect_line("J:5:13: sweep.ratio: must be in (0, 1], got 1.5");
  expect_line("J:5:23: sweep.ratio: 0.1 stands twice");
  expect_line("J:5:29: sweep.ratio: expected a number, got \"all\"");
  expect_line("J:5:36: sweep.ratio: ratio 0.12345678901 has more than 9 decimals");
  expect_line("J:6:9: sweep.seed: expected an integer, got 1.5");
  expect_line("J:6:14: sweep.seed: must be >= 0, got -1");
  expect_line("J:7:8: sweep.sede: unknown key; did you mean \"seed\"?");
}

TEST_F(SweepTest, MissingAxesAndSections) {
  EXPECT_NE(problems("").find("J: sweep.dataset: missing; give a list"), std::string::npos);
  EXPECT_NE(problems("[sweep]\nname = \"x\"\n").find("J:1:1: sweep.ratio: missing; give a list"),
            std::string::npos);
}

TEST_F(SweepTest, MistakesInSections) {
  const std::string text = problems(kAxes + kRest +
                                    "[tarin]\nlr = 1\n"                                // 13
                                    "[train]\nmax_epochs = 2\nlr = \"fast\"\n"         // 15
                                    "[method.scurb]\nalpha = 1\n"                      // 18
                                    "[method.scrub]\nmax_epochs = -1\n"                // 20
                                    "[method.salun]\nthresold = 1\n"                   // 22: not on the axis
                                    "[dataset.fashon_mnist]\npath = \"x\"\n"           // 24
                                    "[dataset.fashion_mnist]\nmeen = 0.5\n"            // 26
                                    "[model.resnet8.original]\nseed = 1\n"             // 28
                                    "[model.resnet8]\nlr = 1\n"                        // 30
                                    "[evaluate]\nmetrics = [\"accuracy\", \"acu\"]\n"  // 32
                                    "[comm]\nreduction = \"fast\"\ntopology = \"tree\"\n"  // 34
                                    "[run]\nstall_seconds = 0\n");                         // 37
  const auto expect_line = [&](const std::string& line) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n---\n" << text;
  };
  expect_line("J:13:1: tarin: unknown section; did you mean \"train\"?");
  expect_line("J:16:14: train.max_epochs: unknown key");
  expect_line("J:17:6: train.lr: expected a number, got \"fast\"");
  expect_line("J:18:1: method.scurb: unknown method; did you mean \"scrub\"?");
  expect_line("J:21:14: method.scrub.max_epochs: must be >= 0, got -1");
  expect_line("J:23:12: method.salun.thresold: unknown key");
  expect_line("J:24:1: dataset.fashon_mnist: unknown data set; did you mean \"fashion_mnist\"?");
  expect_line("J:27:8: dataset.fashion_mnist.meen: unknown key; did you mean \"mean\"?");
  expect_line("J:29:8: model.resnet8.original.seed: the seed is an axis: set it in [original]");
  expect_line("J:31:6: model.resnet8.lr: unknown key");
  expect_line("J:33:24: evaluate.metrics: unknown \"acu\"; did you mean \"auc\"?");
  expect_line("J:35:13: comm.reduction: unknown \"fast\"");
  expect_line("J:36:12: comm.topology: unknown \"tree\"");
  expect_line("J:38:17: run.stall_seconds: must be > 0, got 0");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n') + 1, 14) << text;
}

TEST_F(SweepTest, MistakesThatNeedTheDataSet) {
  EXPECT_EQ(problems(kAxes + kRest, {"sweep.ratio=[0.0005]"}),
            "--set: sweep.ratio: 0.0005 of 1000 training samples of fashion_mnist is less than one sample: "
            "nothing to forget");
  EXPECT_NE(problems(kAxes + "[data]\ndeletion = \"published\"\n")
                .find("J:8:12: data.deletion: data.deletion = \"published\": no deletion list was published "
                      "for fashion_mnist"),
            std::string::npos);
  EXPECT_NE(problems(kAxes + "[data]\ntrain_limit = 100000\n")
                .find("J:8:15: data.train_limit: fashion_mnist has only "),
            std::string::npos);
}

TEST_F(SweepTest, OverridesAreCheckedLikeTheFile) {
  EXPECT_EQ(problems(kAxes + kRest, {"method.scrub.max_epochs=-1"}),
            "--set: method.scrub.max_epochs: must be >= 0, got -1");
  EXPECT_THROW(plan(kAxes + kRest, {"sweep"}), UsageError);
  EXPECT_THROW(load(folder_ / "absent.toml"), DataError);
}

TEST_F(SweepTest, RowNamesAreTheMetricsColumnsInOrder) {
  const auto p = plan(kAxes + kRest, {"evaluate.metrics=[\"time\", \"accuracy\"]"});
  EXPECT_EQ(p.metrics, (std::vector<std::string>{"time", "accuracy"}));
  EXPECT_EQ(p.row_names, (std::vector<std::string>{"test_accuracy", "forget_accuracy", "retain_accuracy",
                                                   "val_accuracy"}));
  EXPECT_EQ(plan(kAxes + kRest).metrics.size(), 7u);
}

TEST_F(SweepTest, SelectCells) {
  const auto p = plan(kAxes + kRest);
  using Indices = std::vector<std::size_t>;
  EXPECT_EQ(select_cells(p, "0-2"), (Indices{0, 1, 2}));
  EXPECT_EQ(select_cells(p, "3,5-6,3"), (Indices{3, 5, 6}));
  EXPECT_EQ(select_cells(p, p.cells[4].id + "," + p.cells[1].id.substr(0, 10)), (Indices{4, 1}));
  for (const char* bad : {"", "8", "0-8", "3-1", "abc", "ffffffffffffffff", "0-", "x-y", "1-2-3", "-1"})
    EXPECT_THROW(select_cells(p, bad), UsageError) << bad;
}

TEST_F(SweepTest, DefaultRanksPerCell) {
  auto p = plan(kAxes + kRest);
  EXPECT_EQ(default_ranks_per_cell(p, 4), 1);
  p.originals[0].parameters = 20'000'000;
  EXPECT_EQ(default_ranks_per_cell(p, 4), 4);
}

TEST_F(SweepTest, StatusLooksForStoresAndFailures) {
  const auto p = plan(kAxes + kRest);
  const Layout layout{folder_ / "out"};
  EXPECT_EQ(read_status(p, layout).count(State::kMissing), 8u);
  const auto touch = [](const fs::path& path) {
    make_folder(path.parent_path());
    write_file_atomic(path, "x");
  };
  touch(layout.cell_store(p.cells[0].id));
  touch(layout.failure(p.cells[0].id));
  touch(layout.failure(p.cells[1].id));
  touch(layout.original_store(p.originals[0].id));
  const auto status = read_status(p, layout);
  EXPECT_EQ(status.cells[0], State::kDone);
  EXPECT_EQ(status.cells[1], State::kFailed);
  EXPECT_EQ(status.count(State::kMissing), 6u);
  EXPECT_EQ(status.originals[0], State::kDone);
}

TEST_F(SweepTest, PlanAsJson) {
  const auto p = plan(kAxes + kRest);
  const auto text = plan_text(p);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json.dump(1) + "\n", text);  // one form of a plan
  const auto compact = [&](std::size_t i) { return plan_cell(p, i); };
  EXPECT_EQ(dump_with_cells(plan_head(p), p.cells.size(), compact, -1), json.dump());
  EXPECT_EQ(dump_with_cells(plan_head(p), 0, compact, 1), plan_head(p).dump(1));
  EXPECT_EQ(json.at("kind"), "plan");
  EXPECT_EQ(json.at("sha256"), p.sha256);
  ASSERT_EQ(json.at("cells").size(), 8u);
  EXPECT_EQ(json.at("cells")[3].at("id"), p.cells[3].id);
  EXPECT_EQ(json.at("cells")[3].at("ratio"), 0.1);
  EXPECT_EQ(json.at("cells")[3].at("original_id"), p.originals[0].id);
}

// The settings are all that the engine gets: options read back from them must be the ones that were priced.
TEST_F(SweepTest, SettingsReadBack) {
  const auto p = plan(kAxes + kRest);
  for (const auto& cell : p.cells) {
    config::Diagnostics problems;
    auto in = config::Reader::resolved("method." + cell.method, cell.settings.at("method_options"), problems);
    std::int64_t steps = 0;
    const std::int64_t forget = cell.ratio.floor_of(1000);
    for (const auto& phase : methods::find_descriptor(cell.method)->plan(in, {forget, 1000 - forget, 10}))
      steps += phase.steps;
    in.finish();
    EXPECT_TRUE(problems.empty()) << problems.text();
    EXPECT_EQ(steps, cell.total_steps);
  }
}

}  // namespace
}  // namespace expunge::sweep
