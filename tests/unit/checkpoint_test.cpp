#include "store/checkpoint_file.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "core/error.hpp"
#include "store/store_file.hpp"
#include "tests/unit/store_fixture.hpp"

namespace expunge::store {
namespace {

using test::ScratchFolder;

Checkpoint sample(std::int64_t sequence) {
  Checkpoint c;
  c.cell_id = "0123456789abcdef";
  c.sequence = sequence;
  c.state = {{"calls", {1, "two", 3.5}},
             {"history", {0.1, std::nan(""), -std::numeric_limits<double>::infinity(), 1e300, -0.0}},
             {"steps", std::int64_t{1} << 62},
             {"nothing", nullptr}};
  c.f32["values"] = std::vector<float>(100000, 0.25f);
  c.f32["values"][7] = 3e-41f;
  c.f32["optimizer.m"] = {};
  c.f32["kept.mask/1"] = {1, 0, 1};
  c.f64["sum"] = {1e-300, std::nan("")};
  c.i64["order"] = {5, -1, std::numeric_limits<std::int64_t>::max()};
  return c;
}

template <class T>
void expect_same_bits(const std::map<std::string, std::vector<T>>& a,
                      const std::map<std::string, std::vector<T>>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, v] : a) {
    const auto& w = b.at(name);
    ASSERT_EQ(v.size(), w.size()) << name;
    EXPECT_TRUE(v.empty() || std::memcmp(v.data(), w.data(), v.size() * sizeof(T)) == 0) << name;
  }
}

void damage(const fs::path& path) {
  std::string bytes = read_file(path);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file_atomic(path, bytes);
}

TEST(Checkpoint, EverythingComesBack) {
  ScratchFolder folder;
  const Checkpoint c = sample(4);
  write_checkpoint(folder / "a/x.0.h5", c);
  const Checkpoint back = read_checkpoint(folder / "a/x.0.h5");
  EXPECT_EQ(back.cell_id, c.cell_id);
  EXPECT_EQ(back.sequence, 4);
  EXPECT_EQ(back.state.at("calls"), c.state.at("calls"));
  EXPECT_EQ(back.state.at("steps").get<std::int64_t>(), std::int64_t{1} << 62);
  EXPECT_TRUE(back.state.at("nothing").is_null());
  const auto before = c.state.at("history").get<std::vector<double>>(),
             after = back.state.at("history").get<std::vector<double>>();
  ASSERT_EQ(after.size(), 5u);
  EXPECT_TRUE(std::isnan(after[1]));
  EXPECT_TRUE(std::signbit(after[4]));
  for (std::size_t i : {0u, 2u, 3u, 4u}) EXPECT_EQ(after[i], before[i]);
  expect_same_bits(back.f32, c.f32);
  expect_same_bits(back.f64, c.f64);
  expect_same_bits(back.i64, c.i64);
}

TEST(Checkpoint, ArraysAreNotCompressed) {
  ScratchFolder folder;
  write_checkpoint(folder / "x.h5", sample(1));
  EXPECT_GT(fs::file_size(folder / "x.h5"), 100000u * 4);  // all the same value: any filter would shrink it
}

TEST(Checkpoint, TheNewestGenerationIsRead) {
  ScratchFolder folder;
  const fs::path a = folder / "x.0.h5", b = folder / "x.1.h5";
  EXPECT_FALSE(read_newest(a, b));
  write_checkpoint(b, sample(1));
  EXPECT_EQ(read_newest(a, b)->sequence, 1);
  write_checkpoint(a, sample(2));
  EXPECT_EQ(read_newest(a, b)->sequence, 2);
  write_checkpoint(b, sample(3));
  EXPECT_EQ(read_newest(a, b)->sequence, 3);
  EXPECT_EQ(read_newest(b, a)->sequence, 3);
}

TEST(Checkpoint, ADamagedGenerationIsSkipped) {
  ScratchFolder folder;
  const fs::path a = folder / "x.0.h5", b = folder / "x.1.h5";
  write_checkpoint(a, sample(2));
  write_checkpoint(b, sample(3));
  damage(b);
  EXPECT_EQ(read_newest(a, b)->sequence, 2);
  damage(a);
  EXPECT_FALSE(read_newest(a, b));
  write_checkpoint(b, sample(4));  // a new one takes the place of a damaged one
  EXPECT_EQ(read_newest(a, b)->sequence, 4);
}

TEST(Checkpoint, AStoreIsNoCheckpoint) {
  ScratchFolder folder;
  write_record(folder / "x.0.h5", test::sample_record());
  EXPECT_THROW(read_checkpoint(folder / "x.0.h5"), DataError);
  EXPECT_FALSE(read_newest(folder / "x.0.h5", folder / "absent.h5"));
}

}  // namespace
}  // namespace expunge::store
