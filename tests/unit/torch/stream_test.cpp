// Streams and claims: order of passes, cutting of grains, ownership of nodes.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/files.hpp"
#include "engine/claims.hpp"
#include "engine/stream.hpp"

namespace expunge {
namespace {

TEST(Stream, PassOrderIsAKeyedPermutation) {
  auto order = pass_order(42, "forget", 0, 100);
  EXPECT_EQ(order, pass_order(42, "forget", 0, 100));
  EXPECT_NE(order, pass_order(42, "forget", 1, 100));
  EXPECT_NE(order, pass_order(42, "retain", 0, 100));
  EXPECT_NE(order, pass_order(43, "forget", 0, 100));
  std::sort(order.begin(), order.end());
  for (std::int64_t i = 0; i < 100; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(Stream, GrainsCoverEverySourceOnItsOwn) {
  const auto grains = cut_grains({70, 0, 5}, 32);
  ASSERT_EQ(grains.size(), 4u);
  EXPECT_EQ(grains[2].source, 0u);
  EXPECT_EQ(grains[2].begin, 64);
  EXPECT_EQ(grains[2].end, 70);  // the short one
  EXPECT_EQ(grains[3].source, 2u);
  EXPECT_EQ(grains[3].end, 5);
  EXPECT_TRUE(cut_grains({0, 0}, 32).empty());
}

struct ClaimFolder : testing::Test {
  void SetUp() override { folder = fs::temp_directory_path() / fmt::format("expunge_claims_{}", ::getpid()); }
  void TearDown() override { fs::remove_all(folder); }
  fs::path folder;
};

TEST_F(ClaimFolder, OneHolderAtATime) {
  Claims claims;
  EXPECT_TRUE(claims.take(folder / "a.json"));
  EXPECT_FALSE(claims.take(folder / "a.json"));  // held, by ourselves even
  EXPECT_NE(Claims::owner(folder / "a.json").find(std::to_string(::getpid())), std::string::npos);
  claims.release(folder / "a.json");
  EXPECT_TRUE(claims.take(folder / "a.json"));
}

TEST_F(ClaimFolder, TheClaimOfADeadProcessIsTakenOver) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  fs::create_directories(folder);
  std::ofstream(folder / "a.json") << nlohmann::json{{"host", host_name()}, {"pid", child}}.dump();
  Claims claims;
  EXPECT_TRUE(claims.take(folder / "a.json"));
}

TEST_F(ClaimFolder, AForeignClaimIsStaleOnlyWithoutHeartbeat) {
  fs::create_directories(folder);
  std::ofstream(folder / "a.json") << nlohmann::json{{"host", "elsewhere"}, {"pid", 1}}.dump();
  Claims claims(10, 3600);
  EXPECT_FALSE(claims.take(folder / "a.json"));
  fs::last_write_time(folder / "a.json", fs::file_time_type::clock::now() - std::chrono::hours(2));
  EXPECT_TRUE(claims.take(folder / "a.json"));
}

}  // namespace
}  // namespace expunge
