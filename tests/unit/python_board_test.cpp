// A board in Python, with the lines that README.md shows. Only where Python has h5py and pandas.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "board/merge.hpp"
#include "tests/cli/command.hpp"
#include "tests/unit/board_fixture.hpp"

namespace expunge::board {
namespace {

// The first that has what the lines import: the one on PATH may be another than the distribution's.
std::string python() {
  const char* wish = std::getenv("EXPUNGE_PYTHON");
  for (const std::string& name :
       {std::string(wish ? wish : ""), std::string("python3"), std::string("/usr/bin/python3")})
    if (!name.empty() && std::system((name + " -c 'import h5py, pandas' >/dev/null 2>&1").c_str()) == 0)
      return name;
  return "";
}

TEST(PythonBoard, ReadmeLinesOpenIt) {
  const std::string interpreter = python();
  if (interpreter.empty()) GTEST_SKIP() << "no Python with h5py and pandas; EXPUNGE_PYTHON names one";
  const std::string readme = read_file(EXPUNGE_SOURCE_DIR "/README.md");
  const std::string mark = "```python\n";
  const auto begin = readme.find(mark) + mark.size();
  std::string script = readme.substr(begin, readme.find("```", begin) - begin);
  EXPECT_EQ(std::count(script.begin(), script.end(), '\n'), 3);
  script += "print(table.shape, table.groupby('method').test_accuracy.mean().scrub, set(table.status))\n";
  test::SweepFolder sweep({"retrain", "scrub"}, {1, 2});
  sweep.add_all({"retrain", "scrub"}, {1, 2});
  write_board(sweep.path() / "board.h5", merge(sweep.path()).board);
  write_file_atomic(sweep.path() / "script.py", script);
  const std::string run =
      "cd " + test::quoted(sweep.path().string()) + " && " + interpreter + " script.py >out 2>err";
  ASSERT_EQ(std::system(run.c_str()), 0) << read_file(sweep.path() / "err");
  EXPECT_EQ(read_file(sweep.path() / "out"), "(4, 9) 0.9 {'ok'}\n");
}

}  // namespace
}  // namespace expunge::board
