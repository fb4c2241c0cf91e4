// A record with something in every field, and a folder that disappears with the test.
#pragma once

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>

#include "core/files.hpp"
#include "store/record.hpp"

namespace expunge::test {

class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (fs::temp_directory_path() / "expunge_test_XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("cannot make a temporary folder");
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const fs::path& path() const { return path_; }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

inline store::Record sample_record() {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  store::Record r;
  r.id = "0123456789abcdef";
  r.key = "dataset=fashion_mnist/model=resnet8/method=scrub/ratio=0.1/seed=42";
  r.dataset = "fashion_mnist", r.model = "resnet8", r.method = "scrub", r.sweep = "quickstart";
  r.ratio = 0.1;
  r.seed = 42;
  r.row_names = {"test_accuracy", "forget_accuracy", "zrf"};
  r.row = {0.875, -0.0, nan};
  r.splits["test"] = {4, 3, 2, 1.25, {2, 0, 1, 1}};
  r.splits["forget"] = {0, 0, 300, 0, {}};
  r.parameter_hash = "00112233445566778899aabbccddeeff";
  r.config = {{"settings", {{"lr", 0.1}, {"name", "ä \"quoted\""}}}, {"steps", 17}, {"none", nullptr}};
  r.text_attributes = {{"trainable", "all"}, {"transport", ""}, {"device", "cpu"}};
  r.integer_attributes = {{"grain", 32}, {"lowest", std::numeric_limits<std::int64_t>::min()}};
  r.segments = {{2, 0, 7, "first-host", "2026-01-01T00:00:00Z"}, {3, 7, 20, "h", "2026-01-01T00:10:00Z"}};
  r.rank_seconds = {1.5, 2.5, 0.1};
  r.timing = {{"unlearn", 3.25}, {"wall", 4.5}};
  r.flops = {{"forward", 1e18}, {"backward", 2e18}};
  r.history_columns = {"epoch", "loss"};
  r.history = {0, 2.5, 1, nan};
  r.request_columns = {"request", "seconds", "drift"};
  r.requests = {1, 0.5, nan, 2, 0.25, 3};
  r.outputs["test"] = {{3, 1, 2, 9},
                       {0, 1, 0, 1},
                       {0.5f, -1.5f, 3e-41f, -0.0f, 1, 2, std::numeric_limits<float>::infinity(), 7},
                       2};
  r.outputs["val"] = {{}, {}, {}, 10};
  return r;
}

}  // namespace expunge::test
