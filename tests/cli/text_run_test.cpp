// Sweeps on texts as a user runs them, on the shipped sentences: from random numbers, then from the folder
// that the first sweep wrote; the same bits on any number of ranks.
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "store/store_file.hpp"
#include "tests/cli/command.hpp"

namespace expunge::test {
namespace {

namespace fs = std::filesystem;

struct TextSweep : testing::Test {
  std::string write_job(const std::string& name, const std::string& model, const std::string& more) {
    const auto path = folder.path() / (name + ".toml");
    std::ofstream(path)
        << "[sweep]\nname = \"" << name << "\"\ndataset = [\"sentences\"]\nmodel = " << model
        << "\nmethod = [\"retrain\", \"neggrad\"]\nratio = [0.1]\nseed = [42]\n"
           "[dataset.sentences]\nreader = \"text_table\"\npath = \"" EXPUNGE_SOURCE_DIR
           "/data/samples/pgr\"\ntext_column = \"SENTENCE\"\nlabel_column = \"RELATION\"\ntokens = 12\n"
           "[data]\ntrain_limit = 64\ntest_limit = 32\n[original]\nbatch = 16\ngrain = 8\n"
           "[train]\nepochs = 1\nbatch = 16\ngrain = 8\n[evaluate]\nmetrics = [\"accuracy\", \"f1\"]\n"
           "[run]\nkeep_models = true\n"
        << more;
    return path.string();
  }
  CommandResult run(const std::string& job, const std::string& out, int ranks) {
    const std::string environment =
        "EXPUNGE_CACHE=" + quoted((folder.path() / "cache").string()) +
        " OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 ";
    return run_command(
        {"run", job, "--out", (folder.path() / out).string(), "--ranks-per-cell", std::to_string(ranks)},
        environment +
            (ranks == 1 ? "" : "mpirun --quiet --oversubscribe --bind-to none -n " + std::to_string(ranks)));
  }
  // method -> the store's row.
  std::map<std::string, store::RowHeader> rows(const std::string& out, const std::string& name) {
    std::map<std::string, store::RowHeader> all;
    for (const char* part : {"cells", "originals"})
      for (const auto& f : fs::recursive_directory_iterator(folder.path() / out / name / part))
        if (f.path().extension() == ".h5") {
          const auto row = store::read_row(f.path());
          all[row.method] = row;
        }
    return all;
  }
  TemporaryFolder folder;
};

TEST_F(TextSweep, RunsFromRandomNumbersAndFromAFolder) {
  const auto first = write_job("first", "[\"bert-tiny\"]", "[model.bert-tiny.original]\nepochs = 1\n");
  const auto result = run(first, "one", 1);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto many = run(first, "three", 3);
  ASSERT_EQ(many.exit_code, 0) << many.err;
  const auto alone = rows("one", "first"), together = rows("three", "first");
  ASSERT_EQ(alone.size(), 3u);
  for (const auto& [method, row] : alone)
    EXPECT_EQ(row.science_sha256, together.at(method).science_sha256) << method;

  const auto models = folder.path() / "one" / "first" / "models";
  const auto unlearned = models / alone.at("neggrad").id;
  for (const char* file : {"config.json", "model.safetensors"})
    EXPECT_TRUE(fs::exists(unlearned / file)) << file;

  // Untrained further, the folder's model is the one that was written; a new head is another one.
  const auto second = write_job("second", "{ path = \"" + unlearned.string() + "\", name = \"mine\" }",
                                "[method.retrain]\nepochs = 1\n[model.mine.original]\nepochs = 0\n");
  const auto kept = run(second, "one", 1);
  ASSERT_EQ(kept.exit_code, 0) << kept.err;
  EXPECT_EQ(rows("one", "second").at("original").parameter_hash, alone.at("neggrad").parameter_hash);
  const auto third =
      write_job("third", "[{ path = \"" + unlearned.string() + "\", name = \"mine\", head = \"new\" }]",
                "[model.mine.original]\nepochs = 0\n");
  const auto renewed = run(third, "one", 1);
  ASSERT_EQ(renewed.exit_code, 0) << renewed.err;
  const auto fresh = rows("one", "third");
  EXPECT_NE(fresh.at("original").parameter_hash, alone.at("neggrad").parameter_hash);
  // Both begin at the folder's backbone under a head drawn from the same seed, and are not trained.
  EXPECT_EQ(fresh.at("retrain").parameter_hash, fresh.at("original").parameter_hash);
}

}  // namespace
}  // namespace expunge::test
