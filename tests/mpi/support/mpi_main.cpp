// main() of the MPI test binaries. Failures are printed by the rank that saw them, without any communication;
// the verdict of a test is merged at its end, so that all ranks agree on it; rank 0 alone prints progress and
// writes the XML report.
#include "tests/mpi/support/mpi_main.hpp"

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/log.hpp"

namespace expunge::test {
namespace {

constexpr double kStallSeconds = 300;  // of one test

comm::Runtime* runtime_ = nullptr;

class PrintFailures : public ::testing::EmptyTestEventListener {
  // Remembered here: asking gtest for the current test inside OnTestPartResult waits for a lock that its
  // caller holds.
  void OnTestStart(const ::testing::TestInfo& test) override {
    test_ = fmt::format("{}.{}", test.test_suite_name(), test.name());
  }
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    if (!result.failed() || world().rank() == 0) return;  // gtest's own printer speaks on rank 0
    if (result.file_name() && std::string_view(result.file_name()) == __FILE__)
      return;  // another rank's, merged
    const std::string line = fmt::format("{}{}:{}: failure in {}\n{}\n", log::rank_prefix(),
                                         result.file_name() ? result.file_name() : "?", result.line_number(),
                                         test_, result.message());
    std::fwrite(line.data(), 1, line.size(), stderr);
  }

  std::string test_ = "set-up";
};

class MergeVerdict : public ::testing::EmptyTestEventListener {
 public:
  // A communicator of its own: a test that leaves a message behind cannot change a verdict.
  MergeVerdict() : verdicts_(world().split(0, world().rank())) {}

 private:
  void OnTestStart(const ::testing::TestInfo& test) override {
    runtime().phase(fmt::format("{}.{}", test.test_suite_name(), test.name()));
  }
  void OnTestEnd(const ::testing::TestInfo& test) override {
    const char failed = test.result()->Failed();
    std::vector<int> others;
    const auto all = verdicts_->all_gather_value(failed);
    for (std::size_t r = 0; r < all.size(); ++r)
      if (all[r]) others.push_back(static_cast<int>(r));
    if (!failed && !others.empty())
      ADD_FAILURE() << "failed on rank " << fmt::format("{}", fmt::join(others, ", "));
  }

  std::unique_ptr<comm::Communicator> verdicts_;
};

bool lists_tests(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (std::string_view(argv[i]).starts_with("--gtest_list_tests")) return true;
  return false;
}

// Ranks other than 0 must not write the report.
void drop_output(int* argc, char** argv) {
  ::unsetenv("GTEST_OUTPUT");
  int kept = 1;
  for (int i = 1; i < *argc; ++i)
    if (!std::string_view(argv[i]).starts_with("--gtest_output")) argv[kept++] = argv[i];
  *argc = kept;
  argv[kept] = nullptr;
}

}  // namespace

comm::Runtime& runtime() { return *runtime_; }

int run(int argc, char** argv) {
  if (lists_tests(argc, argv)) {
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
  }
  comm::Runtime runtime(&argc, &argv, kStallSeconds);
  runtime_ = &runtime;
  try {
    if (world().rank() != 0) drop_output(&argc, argv);
    ::testing::InitGoogleTest(&argc, argv);
    auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
    if (world().rank() != 0) delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new PrintFailures);
    listeners.Append(new MergeVerdict);
    const int verdict = RUN_ALL_TESTS();
    runtime.finish();
    return verdict;
  } catch (const Error& error) {
    runtime.abort(error.exit_code(), error.what());
  } catch (const std::exception& error) {
    runtime.abort(kExitInternal, error.what());
  }
}

}  // namespace expunge::test

int main(int argc, char** argv) { return expunge::test::run(argc, argv); }
