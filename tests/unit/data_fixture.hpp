// A temporary folder with its own cache, and hand-made images, for the suites of the data layer.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "data/dataset.hpp"

namespace expunge::data {

namespace fs = std::filesystem;

inline const fs::path kSamples = fs::path(EXPUNGE_SOURCE_DIR) / "data" / "samples";

// Sets an environment variable for the life of the object.
class ScopedEnvironment {
 public:
  ScopedEnvironment(std::string name, const std::string& value) : name_(std::move(name)) {
    if (const char* old = ::getenv(name_.c_str())) old_ = old;
    ::setenv(name_.c_str(), value.c_str(), 1);
  }
  ~ScopedEnvironment() {
    if (old_) {
      ::setenv(name_.c_str(), old_->c_str(), 1);
    } else {
      ::unsetenv(name_.c_str());
    }
  }
  ScopedEnvironment(const ScopedEnvironment&) = delete;
  ScopedEnvironment& operator=(const ScopedEnvironment&) = delete;

 private:
  std::string name_;
  std::optional<std::string> old_;
};

class DataTest : public ::testing::Test {
 protected:
  DataTest() {
    std::string name = (fs::temp_directory_path() / "expunge-data-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    cache_.emplace("EXPUNGE_CACHE", (folder_ / "cache").string());
  }
  ~DataTest() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  fs::path write(const fs::path& name, const std::string& bytes) {
    const fs::path path = folder_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  nlohmann::json at(const std::string& name) const { return {{"path", (folder_ / name).string()}}; }

  fs::path folder_;
  std::optional<ScopedEnvironment> cache_;
};

// Runs `work` and returns the message of the DataError with `code` that it must throw.
template <class Work>
std::string message_of(int code, Work&& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

inline std::string big_endian(std::uint32_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8),
          static_cast<char>(v)};
}

// A data set in memory, for splits and augmentation.
class FakeDataset : public Dataset {
 public:
  FakeDataset(std::int64_t train, std::int64_t test, std::int64_t classes) : train_(train), test_(test) {
    info_.name = "fake";
    info_.classes = classes;
    info_.channels = info_.height = info_.width = 1;
    info_.mean = {0};
    info_.deviation = {1};
    info_.train_size = train;
    info_.test_size = test;
  }
  const Info& info() const override { return info_; }
  std::int64_t size(Side side) const override { return side == Side::kTrain ? train_ : test_; }
  const std::uint8_t* pixels(Side, std::int64_t) const override { return image.data(); }
  std::int64_t label(Side, std::int64_t id) const override {
    return id < static_cast<std::int64_t>(first_labels.size()) ? first_labels[static_cast<std::size_t>(id)]
                                                               : id % info_.classes;
  }
  const std::string& checksum() const override { return checksum_; }

  Info info_;
  std::vector<std::uint8_t> image{0};
  std::vector<std::int64_t> first_labels;
  std::string checksum_ = "fake";

 private:
  std::int64_t train_, test_;
};

}  // namespace expunge::data
