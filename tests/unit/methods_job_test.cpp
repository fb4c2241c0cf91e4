// What a job may ask of a method: refused where the cell lacks what the method needs, and MU-Bench's settings
// as a layer under the job's own.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "core/error.hpp"
#include "methods/method.hpp"
#include "sweep/profile.hpp"
#include "sweep/sweep.hpp"

namespace expunge::sweep {
namespace {

namespace fs = std::filesystem;

class MethodsJob : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("expunge_methods_job." + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::string axes(const std::string& dataset, const std::string& methods,
                          const std::string& data = "") {
    return "[sweep]\ndataset = [\"" + dataset + "\"]\nmodel = [\"resnet8\"]\nmethod = [" + methods +
           "]\nratio = [0.1]\n[data]\n" + data + "\n";
  }
  Plan plan(const std::string& text) {
    std::ofstream(folder_ / "job.toml") << text;
    return load(folder_ / "job.toml", {});
  }
  std::string problems(const std::string& text) {
    try {
      plan(text);
      return "";
    } catch (const ConfigError& error) {
      return error.what();
    }
  }
  fs::path folder_;
};

bool contains(const std::string& text, const std::string& piece) {
  return text.find(piece) != std::string::npos;
}

TEST_F(MethodsJob, RefusesMethodsThatForgetClassesOnDrawnSamples) {
  const auto text = problems(axes("fashion_mnist", "\"unsir\", \"erm_ktp\""));
  EXPECT_TRUE(
      contains(text, "unsir on fashion_mnist with resnet8: forgets whole classes: set data.unit = \"class\""))
      << text;
  EXPECT_TRUE(contains(text, "erm_ktp on fashion_mnist with resnet8: forgets whole classes")) << text;
  EXPECT_TRUE(contains(text, "job.toml:4:11:")) << text;  // where the method stands
  EXPECT_EQ(problems(axes("fashion_mnist", "\"unsir\", \"erm_ktp\"", "unit = \"class\"")), "");
}

TEST_F(MethodsJob, RefusesKgaWithoutUnseenSamples) {
  const auto text = problems(axes("fashion_mnist", "\"kga\""));
  EXPECT_TRUE(contains(text,
                       "kga on fashion_mnist with resnet8: needs samples that nothing was trained on: set "
                       "data.val_fraction above 0"))
      << text;
  EXPECT_EQ(problems(axes("fashion_mnist", "\"kga\"", "val_fraction = 0.1")), "");
}

TEST_F(MethodsJob, RefusesOptionsOutsideTheirDomain) {
  const auto text =
      problems(axes("fashion_mnist", "\"npo\", \"fisher\", \"l1_sparse\"") +
               "[method.npo]\nbeta = 0\n[method.fisher]\nlabels = \"exakt\"\n[method.l1_sparse]\n"
               "alpha = -1\n");
  EXPECT_TRUE(contains(text, "method.npo.beta: must be > 0, got 0")) << text;
  EXPECT_TRUE(contains(text, "unknown \"exakt\"; did you mean \"exact\"?") || contains(text, "exact"))
      << text;
  EXPECT_TRUE(contains(text, "method.l1_sparse.alpha: must be >= 0, got -1")) << text;
}

TEST_F(MethodsJob, EveryMethodSaysWhatItIs) {
  std::set<std::string> names;
  for (const auto* d : methods::descriptors()) {
    names.insert(d->name);
    EXPECT_FALSE(d->source.empty()) << d->name;
    for (const auto* text :
         {&d->taxonomy.measure, &d->taxonomy.corrupt, &d->taxonomy.retain, &d->taxonomy.parameters})
      EXPECT_FALSE(text->empty()) << d->name;
    const auto& p = d->taxonomy.parameters;
    EXPECT_TRUE(p.rfind("dense, ", 0) == 0 || p.rfind("sparse, ", 0) == 0) << d->name;
    for (const auto need : d->needs) EXPECT_FALSE(methods::describe(need).empty()) << d->name;
  }
  EXPECT_GE(names.size(), 24u);
}

const nlohmann::json& options(const Plan& plan, const std::string& method) {
  for (const auto& cell : plan.cells)
    if (cell.method == method) return cell.settings.at("method_options");
  throw std::runtime_error("no cell of " + method);
}

TEST_F(MethodsJob, TakesMuBenchsSettingsUnderItsOwn) {
  const std::string job = axes("cifar10", "\"neggrad\", \"salun\", \"scrub\", \"retrain\"") +
                          "[method.scrub]\nepochs = 3\n[profile]\nmubench = true\n";
  const auto p = plan(job);
  const auto& neggrad = options(p, "neggrad");
  EXPECT_EQ(neggrad.at("optimizer").at("name"), "adamw");
  EXPECT_EQ(neggrad.at("optimizer").at("lr"), 5e-5);
  EXPECT_EQ(neggrad.at("optimizer").at("weight_decay"), 1e-4);
  EXPECT_EQ(neggrad.at("epochs"), 20);
  EXPECT_EQ(neggrad.at("batch"), 128);
  EXPECT_EQ(neggrad.at("clip"), 1.0);
  EXPECT_EQ(neggrad.at("schedule"), "linear");
  EXPECT_EQ(options(p, "salun").at("optimizer").at("lr"), 1e-3);  // of a ResNet
  EXPECT_EQ(options(p, "scrub").at("optimizer").at("lr"), 1e-5);
  EXPECT_EQ(options(p, "scrub").at("epochs"), 3);  // the job's own
  const auto plain = plan(axes("cifar10", "\"retrain\"") + "[profile]\nmubench = false\n");
  EXPECT_EQ(options(p, "retrain"), options(plain, "retrain"));
}

TEST_F(MethodsJob, RefusesTheProfileWhereTheBenchmarkHasNoScript) {
  const auto text = problems(axes("fashion_mnist", "\"neggrad\"") + "[profile]\nmubench = true\n");
  EXPECT_TRUE(contains(text, "profile.mubench: MU-Bench has no settings for fashion_mnist; it has cifar10"))
      << text;
}

TEST(MuBench, ScriptedValuesOfTheTable) {
  EXPECT_EQ(mubench_settings("cifar100", "vit_small", "bad_t", 0.02).at("optimizer").at("lr"), 1e-4);
  EXPECT_EQ(mubench_settings("cifar100", "vit_small", "bad_t", 0.02).at("epochs"), 10);
  EXPECT_EQ(mubench_settings("cifar10", "swin_base", "bad_t", 0.02).at("optimizer").at("lr"), 5e-4);
  EXPECT_EQ(mubench_settings("imdb", "bert", "neggrad", 0.02).at("optimizer").at("lr"), 1e-5);
  EXPECT_EQ(mubench_settings("imdb", "bert", "neggrad", 0.04).at("optimizer").at("lr"), 5e-6);
  EXPECT_EQ(mubench_settings("imdb", "bert", "neggrad", 0.04).at("epochs"), 12);
  EXPECT_EQ(mubench_settings("ddi", "bert", "salun", 0.1).at("batch"), 32);
  EXPECT_TRUE(mubench_settings("fashion_mnist", "resnet8", "salun", 0.1).is_null());
}

}  // namespace
}  // namespace expunge::sweep
