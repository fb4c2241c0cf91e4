// submit, resubmit, status and cancel as a user calls them, against a stand-in for Slurm: what real Slurm
// cannot be made to do quickly.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <utime.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/files.hpp"
#include "core/text.hpp"
#include "store/sealed_file.hpp"
#include "store/store_file.hpp"
#include "sweep/sweep.hpp"
#include "tests/cli/command.hpp"

namespace expunge::test {
namespace {

using nlohmann::json;

std::string text_of(const fs::path& path) { return fs::exists(path) ? read_file(path) : ""; }

struct Stub : testing::Test {
  Stub() {
    fs::create_directories(stub());
    write("site.toml", "[slurm]\nranks = 2\n[tasks]\nminutes = 1\n");
    write_job(R"("finetune", "neggrad", "scrub")", "[0.02, 0.1]", "[1, 2]");
  }
  fs::path stub() const { return folder.path() / "stub"; }
  fs::path root() const { return folder.path() / "out" / "tiny"; }
  fs::path submission(const std::string& number = "0001") const { return root() / "slurm" / number; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder.path() / name) << text;
  }
  void write_job(const std::string& methods, const std::string& ratios, const std::string& seeds,
                 const std::string& more = "") const {
    write("job.toml",
          "[sweep]\nname = \"tiny\"\ndataset = [\"fashion_mnist\"]\nmodel = [\"resnet8\"]\nmethod = [" +
              methods + "]\nratio = " + ratios + "\nseed = " + seeds +
              "\n[data]\ntrain_limit = 160\ntest_limit = 80\n" + more);
  }
  std::string environment() const {
    return "STUB=" + quoted(stub().string()) +
           " PATH=" + quoted(std::string(EXPUNGE_SOURCE_DIR "/tests/cluster/stub:") + std::getenv("PATH"));
  }
  CommandResult call(const std::string& command, std::vector<std::string> more = {}) const {
    std::vector<std::string> words{command,  (folder.path() / "job.toml").string(),
                                   "--site", (folder.path() / "site.toml").string(),
                                   "--out",  (folder.path() / "out").string()};
    words.insert(words.end(), more.begin(), more.end());
    return run_command(words, environment());
  }
  sweep::Plan plan() const { return sweep::load(folder.path() / "job.toml"); }
  sweep::Layout layout() const { return {root()}; }
  json record(const std::string& number = "0001") const {
    return json::parse(read_file(submission(number) / "submission.json"));
  }
  std::size_t sbatch_calls() const {
    std::size_t out = 0;
    for (const auto& line : split(text_of(stub() / "calls"), '\n')) out += line.rfind("sbatch ", 0) == 0;
    return out;
  }
  json status() const {
    const auto result = call("status", {"--json"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return json::parse(result.out);
  }
  std::map<std::string, json> by_id(const char* kind) const {
    std::map<std::string, json> out;
    const auto all = status();
    for (const auto& node : all.at(kind)) out[node.at("id")] = node;
    return out;
  }
  void store_cell(const sweep::Cell& cell, const std::string& status = "ok") const {
    store::Record r;
    r.id = cell.id, r.key = cell.key, r.dataset = cell.dataset, r.model = cell.model, r.method = cell.method,
    r.status = status;
    r.timing = {{"wall", 2.0}};
    store::write_record(layout().cell_store(cell.id), r);
  }
  void store_original(const sweep::Original& original) const {
    store::Record r;
    r.kind = "original", r.id = original.id, r.key = original.key;
    store::write_record(layout().original_store(original.id), r);
  }
  TemporaryFolder folder;
};

TEST_F(Stub, TheGraphIsOriginalsCellsReduce) {
  const auto result = call("submit");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto chunks = record().at("chunks");
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[0].at("name"), "originals.0");
  EXPECT_EQ(chunks[0].at("tasks"), 1);
  EXPECT_EQ(chunks[0].at("job"), "101");
  EXPECT_EQ(chunks[0].at("dependency"), "");
  EXPECT_EQ(chunks[1].at("name"), "cells.0");
  EXPECT_EQ(chunks[1].at("dependency"), "afterany:101");
  EXPECT_EQ(chunks[2].at("name"), "reduce");
  EXPECT_EQ(chunks[2].at("dependency"), "afterany:101:102");
  for (const auto& chunk : chunks) EXPECT_EQ(chunk.at("state"), "submitted");
  for (const char* id : {"101", "102", "103"})
    EXPECT_NE(result.out.find(std::string("job ") + id), std::string::npos) << result.out;
  // Every cell once, in ids of this plan.
  std::map<std::string, int> sent;
  for (const auto& line : split(read_file(submission() / "cells.0.tasks"), '\n'))
    for (const auto& id : split(line, ',')) sent[id] += !id.empty();
  sent.erase("");
  EXPECT_EQ(sent.size(), plan().cells.size());
  for (const auto& cell : plan().cells) EXPECT_EQ(sent[cell.id], 1);
  EXPECT_EQ(read_file(submission() / "job.toml"), read_file(folder.path() / "job.toml"));
  // A second call has nothing to do.
  const auto again = call("submit");
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_NE(again.out.find("nothing to submit: 12 cells are in the queue"), std::string::npos) << again.out;
  EXPECT_EQ(sbatch_calls(), 3u);
}

TEST_F(Stub, ScriptsSayWhatTheSiteSays) {
  write("site.toml", R"([slurm]
partition = "p"
account = "acc"
qos = "high"
gres = "gpu:2"
constraint = "a&b"
memory_per_cpu = "3G"
options = ["--exclusive"]
nodes = 1
ranks = 2
cpus_per_rank = 3
time_limit = "2-00:00:00"
signal_before_end = 99
max_restarts = 4
[limits]
throttle = 5
[launch]
modules = ["gcc/12"]
setup = ["ulimit -c 0"]
options = ["--cpu-bind=cores"]
scratch = "/scratch"
[environment]
A = "b c"
)");
  ASSERT_EQ(call("submit", {"--set", "train.lr=0.5"}).exit_code, 0);
  const auto script = read_file(submission() / "cells.0.sbatch");
  for (const char* line : {"#SBATCH --partition=p\n",
                           "#SBATCH --account=acc\n",
                           "#SBATCH --qos=high\n",
                           "#SBATCH --gres=gpu:2\n",
                           "#SBATCH --constraint='a&b'\n",
                           "#SBATCH --mem-per-cpu=3G\n",
                           "#SBATCH --exclusive\n",
                           "#SBATCH --nodes=1\n",
                           "#SBATCH --ntasks=2\n",
                           "#SBATCH --cpus-per-task=3\n",
                           "#SBATCH --time=2-00:00:00\n",
                           "#SBATCH --signal=USR1@99\n",
                           "#SBATCH --requeue\n",
                           "#SBATCH --array=0-0%5\n",
                           "#SBATCH --open-mode=append\n",
                           "module load gcc/12\n",
                           "ulimit -c 0\n",
                           "export A='b c'\n",
                           "export EXPUNGE_CACHE=/scratch/cache\n",
                           "srun --mpi=pmix --kill-on-bad-exit=0 --wait=8 --cpus-per-task=3",
                           "--cpu-bind=cores",
                           "--only cells",
                           "--max-restarts 4",
                           "--set train.lr=0.5"})
    EXPECT_NE(script.find(line), std::string::npos) << line << "\n" << script;
  const auto reduce = read_file(submission() / "reduce.sbatch");
  EXPECT_EQ(reduce.find("--gres"), std::string::npos);
  EXPECT_EQ(reduce.find("#SBATCH --array"), std::string::npos);
  EXPECT_NE(reduce.find(" reduce " + root().string()), std::string::npos) << reduce;
  for (const char* name : {"cells.0.sbatch", "originals.0.sbatch", "reduce.sbatch"})
    EXPECT_EQ(std::system(("bash -n " + quoted((submission() / name).string())).c_str()), 0) << name;
}

TEST_F(Stub, MpirunNeedsTheSignalInTheShell) {
  write("site.toml", "[slurm]\nranks = 2\nrequeue = false\n[launch]\nlauncher = \"mpirun\"\n");
  ASSERT_EQ(call("submit").exit_code, 0);
  const auto script = read_file(submission() / "cells.0.sbatch");
  for (const char* part : {"--signal=B:USR1@180", "mpirun --quiet --bind-to none -n 2", "forward=true",
                           "requeue=false", "#SBATCH --no-requeue"})
    EXPECT_NE(script.find(part), std::string::npos) << part;
}

TEST_F(Stub, ADryRunShowsScriptsAndTouchesNothing) {
  const auto result = call("submit", {"--dry-run"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("#SBATCH --array=0-0"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("originals.0.sbatch"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder.path() / "out"));
  EXPECT_FALSE(fs::exists(stub() / "calls"));
}

TEST_F(Stub, ArraysAreCutToTheSitesSize) {
  std::ofstream(stub() / "config") << "MaxJobCount             = 10000\nMaxArraySize            = 5\n";
  write("site.toml", "[tasks]\nminutes = 0.001\n");  // a cell a task
  ASSERT_EQ(call("submit").exit_code, 0);
  const auto chunks = record().at("chunks");
  ASSERT_EQ(chunks.size(), 5u);  // originals, 5 + 5 + 2 cells, reduce
  EXPECT_EQ(chunks[1].at("tasks"), 5);
  EXPECT_EQ(chunks[3].at("tasks"), 2);
  EXPECT_EQ(chunks[4].at("dependency"), "afterany:101:102:103:104");
  EXPECT_NE(read_file(submission() / "cells.1.sbatch").find("#SBATCH --array=0-4\n"), std::string::npos);
}

TEST_F(Stub, CapsMakeTasksLarger) {
  write("site.toml", "[tasks]\nminutes = 0.001\n[limits]\nmax_submitted = 6\n");
  ASSERT_EQ(call("submit").exit_code, 0);
  EXPECT_LE(record().at("chunks")[1].at("tasks").get<int>(), 4);  // 6 less an original and the reducer
  std::size_t cells = 0;
  for (const auto& line : split(read_file(submission() / "cells.0.tasks"), '\n'))
    if (!line.empty()) cells += split(line, ',').size();
  EXPECT_EQ(cells, 12u);
  // The queue is full of others' work.
  std::ofstream(stub() / "queue_text") << "9_[0-5]|PENDING|Priority|other\n";
  fs::remove_all(root());
  const auto full = call("submit");
  EXPECT_EQ(full.exit_code, 69);
  EXPECT_NE(full.err.find("the site allows 6 array elements in the queue, 6 are there"), std::string::npos)
      << full.err;
  EXPECT_EQ(sbatch_calls(), 3u);
}

TEST_F(Stub, ARefusalIsPassedOnAndTheNextCallGoesOn) {
  std::ofstream(stub() / "refuse") << "2 Batch job submission failed: Job violates accounting/QOS policy\n";
  const auto refused = call("submit");
  EXPECT_EQ(refused.exit_code, 69);
  EXPECT_NE(refused.err.find("Job violates accounting/QOS policy"), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find("submission 0001 has sent originals.0 (job 101); submit again to send the rest"),
            std::string::npos)
      << refused.err;
  EXPECT_EQ(record().at("chunks")[1].at("state"), "submitting");  // sbatch may have been heard
  EXPECT_EQ(record().at("chunks")[2].at("state"), "planned");
  fs::remove(stub() / "refuse");
  const auto again = call("submit");
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_NE(again.out.find("going on with submission 0001"), std::string::npos) << again.out;
  EXPECT_EQ(record().at("chunks")[1].at("dependency"), "afterany:101");
  EXPECT_EQ(record().at("chunks")[2].at("state"), "submitted");
  EXPECT_FALSE(fs::exists(submission("0002")));
  EXPECT_EQ(sbatch_calls(), 4u);  // one refused
}

TEST_F(Stub, AnAnswerThatNeverCameIsFoundInTheQueue) {
  std::ofstream(stub() / "lose") << "2";
  EXPECT_EQ(call("submit").exit_code, 69);
  EXPECT_EQ(record().at("chunks")[1].at("state"), "submitting");  // as when this program is killed meanwhile
  fs::remove(stub() / "lose");
  const auto again = call("submit");
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(record().at("chunks")[1].at("job"), "102");
  EXPECT_EQ(record().at("chunks")[1].at("state"), "submitted");
  EXPECT_EQ(record().at("chunks")[2].at("job"), "103");
  EXPECT_EQ(sbatch_calls(), 3u);  // none twice
}

TEST_F(Stub, GreetingsOfSitesAreNoJobIds) {
  std::ofstream(stub() / "say_before") << "Welcome to the cluster\nsbatch: your project has 12 hours left\n";
  ASSERT_EQ(call("submit").exit_code, 0);
  EXPECT_EQ(record().at("chunks")[0].at("job"), "101");
}

TEST_F(Stub, WithoutSchedulerOrWithASilentOne) {
  const auto nothing =
      run_command({"submit", (folder.path() / "job.toml").string(), "--site",
                   (folder.path() / "site.toml").string(), "--out", (folder.path() / "out").string()},
                  "PATH=/nonexistent");
  EXPECT_EQ(nothing.exit_code, 69);
  EXPECT_NE(nothing.err.find("squeue is not on PATH: run this on a login node"), std::string::npos)
      << nothing.err;
  // The queue answers, sbatch is not there: nothing is lost, and the next call goes on.
  fs::create_directories(folder.path() / "half");
  for (const char* program : {"squeue", "scontrol", "state.sh"})
    fs::create_symlink(fs::path(EXPUNGE_SOURCE_DIR "/tests/cluster/stub") / program,
                       folder.path() / "half" / program);
  for (const char* tool : {"bash", "dirname", "mkdir", "cat", "grep", "sed"})
    for (const char* bin : {"/usr/bin/", "/bin/"})
      if (const fs::path link = folder.path() / "half" / tool;
          fs::exists(std::string(bin) + tool) && !fs::exists(link))
        fs::create_symlink(std::string(bin) + tool, link);
  const auto half =
      run_command({"submit", (folder.path() / "job.toml").string(), "--site",
                   (folder.path() / "site.toml").string(), "--out", (folder.path() / "out").string()},
                  "STUB=" + quoted(stub().string()) + " PATH=" + quoted((folder.path() / "half").string()));
  EXPECT_EQ(half.exit_code, 69);
  EXPECT_NE(half.err.find("sbatch is not on PATH: run this on a login node of the cluster, or load its "
                          "modules; submission 0001 has sent nothing yet; submit again to send the rest"),
            std::string::npos)
      << half.err;
  const auto rest = call("submit");
  EXPECT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_NE(rest.out.find("going on with submission 0001"), std::string::npos) << rest.out;
  fs::remove_all(root());
  fs::remove_all(stub());
  fs::create_directories(stub());
  std::ofstream(stub() / "silent") << "";
  const auto silent = call("submit");
  EXPECT_EQ(silent.exit_code, 69);
  EXPECT_NE(silent.err.find("Unable to contact slurm controller"), std::string::npos) << silent.err;
  EXPECT_EQ(sbatch_calls(), 0u);
  EXPECT_EQ(call("status").exit_code, 0);
  fs::remove(stub() / "silent");
  ASSERT_EQ(call("submit").exit_code, 0);
  std::ofstream(stub() / "silent") << "";
  const auto blind = call("status");
  EXPECT_EQ(blind.exit_code, 0);
  EXPECT_NE(blind.out.find("the queue is not known: squeue failed"), std::string::npos) << blind.out;
}

TEST_F(Stub, MistakesAreToldBeforeAnythingIsSent) {
  write("site.toml", "[slurm]\nparttion = \"x\"\n");
  const auto site = call("submit");
  EXPECT_EQ(site.exit_code, 64);
  EXPECT_NE(site.err.find("site.toml:2:12: slurm.parttion: unknown key; did you mean \"partition\"?"),
            std::string::npos)
      << site.err;
  EXPECT_EQ(run_command({"submit", (folder.path() / "job.toml").string()}, environment()).exit_code, 2);
  write("site.toml", "[launch]\ntemplate = \"mine.sbatch\"\n");
  EXPECT_EQ(call("submit").exit_code, 66);
  write("mine.sbatch", "#!/bin/bash\n@DIRECTIVES@\nfolder=@FOLDER@\n@COMAND@\n@COMMAND@\n");
  const auto word = call("submit");
  EXPECT_EQ(word.exit_code, 64);
  EXPECT_NE(word.err.find("mine.sbatch:4:1: unknown word @COMAND@; did you mean \"COMMAND\"?"),
            std::string::npos)
      << word.err;
  EXPECT_EQ(sbatch_calls(), 0u);
}

TEST_F(Stub, AFolderInTheWayIs73) {
  write("out", "a file in the way");
  EXPECT_EQ(call("submit").exit_code, 73);
  EXPECT_EQ(sbatch_calls(), 0u);
}

TEST_F(Stub, AFullDiskIs73AndTheNextCallGoesOn) {
  if (std::system("unshare -m mount -t tmpfs -o size=8k none /mnt 2>/dev/null") != 0)
    GTEST_SKIP() << "a small file system needs root and mount namespaces";
  // Room for folders and nothing else, then for everything.
  fs::create_directories(folder.path() / "out");
  const std::string fill = "out=" + quoted((folder.path() / "out").string()) +
                           "; mount -t tmpfs -o size=1m none $out && "
                           "head -c 2m /dev/zero >$out/others 2>/dev/null; ";
  std::ofstream(folder.path() / "on_a_full_disk.sh")
      << fill << "\"$@\"; code=$?; rm $out/others; \"$@\" || exit 1; exit $code\n";
  const auto result = run_command(
      {"submit", (folder.path() / "job.toml").string(), "--site", (folder.path() / "site.toml").string(),
       "--out", (folder.path() / "out").string()},
      environment() + " unshare -m bash " + quoted((folder.path() / "on_a_full_disk.sh").string()));
  EXPECT_EQ(result.exit_code, 73) << result.err;
  EXPECT_NE(result.err.find("No space left on device"), std::string::npos) << result.err;
  EXPECT_NE(result.out.find("job 103: reduce makes the board"), std::string::npos) << result.out;
  EXPECT_EQ(sbatch_calls(), 3u);
}

TEST_F(Stub, AChangedJobFileIsNeverMixedIn) {
  ASSERT_EQ(call("submit").exit_code, 0);
  write_job(R"("finetune", "neggrad", "scrub")", "[0.02, 0.1]", "[1, 2]", "[train]\nlr = 0.01\n");
  const auto refused = call("submit");
  EXPECT_EQ(refused.exit_code, 64);
  EXPECT_NE(refused.err.find("changed since submission 0001"), std::string::npos) << refused.err;
  EXPECT_EQ(sbatch_calls(), 3u);
  EXPECT_NE(call("status").out.find("the job file was changed since submission 0001"), std::string::npos);
  ASSERT_EQ(call("cancel").exit_code, 0);
  ASSERT_EQ(call("submit").exit_code, 0);
  EXPECT_EQ(record("0002").at("chunks")[1].at("state"), "submitted");
}

TEST_F(Stub, AJobNobodyKnowsOfIsNotMixedInEither) {
  std::ofstream(stub() / "lose") << "1";
  EXPECT_EQ(call("submit").exit_code, 69);
  fs::remove(stub() / "lose");
  const std::string first = read_file(folder.path() / "job.toml");
  write_job(R"("finetune", "neggrad", "scrub")", "[0.02, 0.1]", "[1, 2]", "[train]\nlr = 0.01\n");
  const auto cell_job = call("submit");
  EXPECT_EQ(cell_job.exit_code, 64);
  EXPECT_NE(cell_job.err.find("whose jobs 101 are still in the queue"), std::string::npos) << cell_job.err;
  write("job.toml", first);
  ASSERT_EQ(call("submit").exit_code, 0);
  EXPECT_EQ(sbatch_calls(), 3u);
}

TEST_F(Stub, CancelStopsThisSweepOnly) {
  ASSERT_EQ(call("submit").exit_code, 0);
  std::ofstream(stub() / "jobs" / "77") << "0-3|RUNNING|None|other\n";
  const auto result = call("cancel");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "cancelled: 101, 102, 103\n");
  EXPECT_TRUE(fs::exists(stub() / "jobs" / "77"));
  EXPECT_FALSE(fs::exists(stub() / "jobs" / "102"));
  EXPECT_TRUE(fs::exists(submission() / "cancelled"));
  EXPECT_EQ(call("cancel").out, "nothing of this sweep is in the queue\n");
  const auto cells = by_id("cells");
  for (const auto& [id, node] : cells) EXPECT_EQ(node.at("reason"), "cancelled");
  EXPECT_EQ(call("submit").exit_code, 0);  // and again from the start
  EXPECT_TRUE(fs::exists(submission("0002")));
}

TEST_F(Stub, EveryStateHasItsReason) {
  write("site.toml", "[tasks]\nminutes = 0.001\n[slurm]\ntime_limit = \"01:00:00\"\n");
  ASSERT_EQ(call("submit").exit_code, 0);
  const auto p = plan();
  std::map<std::string, int> task;  // of a cell
  int line_number = 0;
  for (const auto& line : split(read_file(submission() / "cells.0.tasks"), '\n')) task[line] = line_number++;
  const auto id = [&](std::size_t i) { return p.cells[i].id; };
  const auto ended = [&](std::size_t i, const std::string& text) {
    std::ofstream(submission() / "ended" / fmt::format("cells.0.{}.json", task.at(id(i)))) << text;
  };
  const auto failure = [&](const std::string& node, const std::string& reason) {
    std::ofstream(layout().failure(node)) << json{{"reason", reason}, {"exit_code", 70}}.dump();
  };
  store_original(p.originals[0]);
  store_cell(p.cells[0]);
  store_cell(p.cells[1], "diverged");
  store_cell(p.cells[2]);
  fs::resize_file(layout().cell_store(id(2)), 3000);
  failure(id(3), "the loss of reason");
  ended(4, R"({"exit": 85, "job": "102_4", "host": "n1", "restart": 0, "seconds": 3400, "time": "t"})");
  ended(5, R"({"exit": 76, "job": "102_5", "host": "n2", "restart": 0, "seconds": 10, "time": "t"})");
  std::ofstream(submission() / "ended" / fmt::format("cells.0.{}.reason", task.at(id(5))))
      << "rank 1 is gone\nmore\n";
  std::ofstream(layout().claim(id(6))) << R"({"host": "n3", "pid": 9})";
  const std::string scontrol = fmt::format(
      "JobId=200 ArrayJobId=102 ArrayTaskId={} JobState=TIMEOUT Reason=TimeLimit ExitCode=0:15\n"
      "JobId=201 ArrayJobId=102 ArrayTaskId={} JobState=NODE_FAIL Reason=NodeDown ExitCode=0:0\n",
      task.at(id(7)), task.at(id(8)));
  std::ofstream(stub() / "jobs_text") << scontrol;
  fs::remove(stub() / "jobs" / "102");
  std::ofstream(stub() / "queue_text")
      << fmt::format("102_{}|RUNNING|None|c\n102_[{},{}]|PENDING|Priority|c\n", task.at(id(6)),
                     task.at(id(9)), task.at(id(10)));

  auto cells = by_id("cells");
  const auto expect = [&](std::size_t i, const std::string& state, const std::string& reason) {
    EXPECT_EQ(cells[id(i)].at("state"), state) << i << cells[id(i)];
    EXPECT_NE(cells[id(i)].value("reason", "").find(reason), std::string::npos) << i << cells[id(i)];
  };
  expect(0, "done", "");
  expect(1, "done", "");
  EXPECT_EQ(cells[id(1)].at("outcome"), "diverged");
  expect(2, "corrupt", "truncated");
  expect(3, "failed", "the loss of reason");
  expect(4, "timed_out", "checkpointed at its time limit");
  expect(5, "failed", "on n2: rank 1 is gone");
  expect(6, "running", "n3, process 9");
  expect(7, "timed_out", "reached its time limit");
  expect(8, "failed", "NODE_FAIL (NodeDown");
  expect(9, "queued", "Priority");
  expect(10, "queued", "Priority");
  expect(11, "missing", "left the queue without a word");
  const auto text = call("status").out;
  EXPECT_NE(text.find("2 done (1 diverged, 1 ok), 1 running, 2 queued, 3 failed, 2 timed out, 1 corrupt, 1 "
                      "missing of 12"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("damaged store: cells/"), std::string::npos) << text;
  EXPECT_NE(text.find("next       expunge resubmit"), std::string::npos) << text;
  EXPECT_NE(text.find("left       about"), std::string::npos) << text;

  // submit sends what is missing only; resubmit what failed, timed out or is damaged.
  ASSERT_EQ(call("submit").exit_code, 0);
  EXPECT_EQ(split(read_file(submission("0002") / "cells.0.tasks"), '\n').front(), id(11));
  EXPECT_EQ(record("0002").at("chunks")[0].at("name"), "cells.0");  // the original is there
  std::ofstream(stub() / "queue_text", std::ios::app) << "104_0|PENDING|Priority|c\n";
  ASSERT_EQ(call("resubmit").exit_code, 0);
  std::set<std::string> sent;
  for (const auto& line : split(read_file(submission("0003") / "cells.0.tasks"), '\n')) sent.insert(line);
  sent.erase("");
  EXPECT_EQ(sent, (std::set<std::string>{id(2), id(3), id(4), id(5), id(7), id(8)}));
  EXPECT_FALSE(fs::exists(layout().failure(id(3))));  // its reason is out of date
}

TEST_F(Stub, AMissingOrDamagedOriginalIsSentAgain) {
  ASSERT_EQ(call("submit").exit_code, 0);
  const auto p = plan();
  store_original(p.originals[0]);
  fs::resize_file(layout().original_store(p.originals[0].id), 2000);
  for (const auto& cell : p.cells)
    std::ofstream(layout().failure(cell.id))
        << json{{"reason", "the original is not there"}, {"exit_code", 66}}.dump();
  fs::remove_all(stub() / "jobs");
  fs::create_directories(stub() / "jobs");
  EXPECT_EQ(by_id("originals").at(p.originals[0].id).at("state"), "corrupt");
  ASSERT_EQ(call("resubmit").exit_code, 0);
  const auto chunks = record("0002").at("chunks");
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[0].at("stage"), "originals");
  EXPECT_EQ(chunks[1].at("dependency"), "afterany:104");
}

TEST_F(Stub, AnswersOfAccountingAreUsedWhereItAnswers) {
  ASSERT_EQ(call("submit").exit_code, 0);
  fs::remove_all(stub() / "jobs");
  fs::create_directories(stub() / "jobs");
  std::ofstream(stub() / "accounting") << "102_0|OUT_OF_MEMORY|0:125\n101_0|CANCELLED by 0|0:0\n";
  const auto cells = by_id("cells");
  for (const auto& [id, node] : cells)
    EXPECT_NE(node.at("reason").get<std::string>().find("OUT_OF_MEMORY (exit 0:125)"), std::string::npos)
        << node;
}

TEST_F(Stub, DamagedRecordsAndCheckpointsAreNamed) {
  ASSERT_EQ(call("submit").exit_code, 0);
  const auto p = plan();
  std::ofstream(layout().checkpoint(p.cells[0].id, 1)) << "half a checkpoint";
  EXPECT_NE(call("status").out.find("damaged checkpoint (the other generation is used): checkpoints/" +
                                    p.cells[0].id + ".1.h5"),
            std::string::npos);
  std::ofstream(submission() / "submission.json") << "{ half";
  const auto damaged = call("submit");
  EXPECT_EQ(damaged.exit_code, 65);
  EXPECT_NE(damaged.err.find("0001/submission.json: not a submission"), std::string::npos) << damaged.err;
}

TEST_F(Stub, StoresAndCheckpointsThatCannotBeReadAreListedAndSentAgain) {
  ASSERT_EQ(call("submit").exit_code, 0);
  fs::remove_all(stub() / "jobs");
  fs::create_directories(stub() / "jobs");
  const auto p = plan();
  store_original(p.originals[0]);
  for (std::size_t i = 1; i < p.cells.size(); ++i) store_cell(p.cells[i]);
  const auto& id = p.cells[0].id;
  fs::create_directories(layout().cell_store(id));
  fs::create_directories(layout().checkpoint(id, 0));
  const auto text = call("status");
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_NE(text.out.find("damaged store: cells/" + id.substr(0, 2) + "/" + id + ".h5: not a file"),
            std::string::npos)
      << text.out;
  EXPECT_NE(text.out.find("damaged checkpoint (the other generation is used): checkpoints/" + id + ".0.h5"),
            std::string::npos)
      << text.out;
  EXPECT_EQ(status().at("counts").at("corrupt"), 1);
  ASSERT_EQ(call("resubmit").exit_code, 0);
  EXPECT_EQ(text_of(submission("0002") / "cells.0.tasks"), id + "\n");
}

TEST_F(Stub, AnOriginalAtWorkKeepsTheWatchGoing) {
  const auto p = plan();
  const auto claim = layout().claim(p.originals[0].id);
  fs::create_directories(claim.parent_path());
  std::ofstream(claim) << R"({"host": "somewhere", "pid": 17})";
  EXPECT_EQ(status().at("originals").at(0).at("state"), "running");
  EXPECT_EQ(status().at("originals").at(0).at("reason"), "somewhere, process 17");
  // It looks once a minute; a signal ends it in between.
  const auto out = folder.path() / "looks";
  const std::string command = quoted(EXPUNGE_BINARY) + " status " +
                              quoted((folder.path() / "job.toml").string()) + " --out " +
                              quoted((folder.path() / "out").string()) + " --watch";
  const auto end_of = [&](const std::string& line) {
    const int status = std::system(("bash -c " + quoted(line)).c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  const std::string file = quoted(out.string());
  EXPECT_EQ(end_of(command + " --json --interval 60 >" + file + " & watch=$!; until [[ -s " + file +
                   " ]]; do sleep 0.05; done; kill -INT $watch; wait $watch"),
            130);
  const std::string looks = read_file(out);
  EXPECT_EQ(std::count(looks.begin(), looks.end(), '\n'), 1) << "one line a look";
  EXPECT_EQ(json::parse(looks).at("originals").at(0).at("state"), "running");
  // On a terminal every look replaces the one before, until nothing is at work.
  fs::remove(out);
  EXPECT_EQ(end_of("script -qefc " + quoted(command + " --interval 0.1") + " " + file +
                   " </dev/null >/dev/null & watch=$!; until grep -qs Ctrl-C " + file +
                   "; do sleep 0.05; done; rm " + quoted(claim.string()) + "; wait $watch"),
            0);
  const std::string screen = read_file(out);
  EXPECT_NE(screen.find("\033[2J\033[Htiny in "), std::string::npos) << screen;
  EXPECT_NE(screen.find("originals  1 running of 1"), std::string::npos) << screen;
  EXPECT_NE(screen.find("originals  1 missing of 1"), std::string::npos) << screen;
  // Without it everything is settled: one look.
  const auto settled = call("status", {"--watch"});
  EXPECT_EQ(settled.exit_code, 0);
  EXPECT_EQ(settled.out, call("status").out);
  EXPECT_EQ(call("status", {"--watch", "--interval", "0"}).exit_code, 2);
}

TEST_F(Stub, FifteenThousandCells) {
  std::string ratios = "[", seeds = "[";
  for (int i = 1; i <= 11; ++i) ratios += fmt::format("{}{}", i > 1 ? ", " : "", 0.01 * i);
  for (int i = 0; i < 171; ++i) seeds += fmt::format("{}{}", i > 0 ? ", " : "", i);
  write_job(R"("retrain", "finetune", "neggrad", "neggrad_plus", "rand_label", "bad_t", "scrub", "salun")",
            ratios + "]", seeds + "]");
  std::string text = read_file(folder.path() / "job.toml");
  text.insert(text.find("[data]"),
              "include = [{ dataset = \"fashion_mnist\", model = \"resnet8\", method = \"scrub\", ratio = "
              "0.5, seed = 1 }]\n");
  write("job.toml", text);
  write("site.toml", "[tasks]\nminutes = 0.001\n[limits]\nmax_array_size = 1001\n");
  const auto result = call("submit");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("15049 cells in 15049 tasks"), std::string::npos) << result.out;
  EXPECT_EQ(record().at("chunks").size(), 1u + 16 + 1);  // 15 x 1001 + 34
  EXPECT_EQ(record().at("chunks")[16].at("tasks"), 34);
  const auto counts = status().at("counts");
  EXPECT_EQ(counts.at("queued"), 15049);
}

}  // namespace
}  // namespace expunge::test
