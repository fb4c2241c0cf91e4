// How many ranks of a device work at the same time: the choice, and the trials it is made from.
#include "engine/sharing.hpp"

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

TEST(Sharing, TakesTheFewestRanksThatAreAsGoodAsTheBest) {
  EXPECT_EQ(best_sharing({}), 1);
  EXPECT_EQ(best_sharing({{1, 0}}), 1);
  EXPECT_EQ(best_sharing({{1, 100}, {2, 104}, {4, 105}}), 1);  // within a twentieth
  EXPECT_EQ(best_sharing({{1, 100}, {2, 150}, {4, 152}}), 2);
  EXPECT_EQ(best_sharing({{1, 100}, {2, 150}, {4, 220}}), 4);
  EXPECT_EQ(best_sharing({{1, 100}, {2, 90}, {4, 0}}), 1);
}

TEST(Sharing, CountsThePlacesOnEveryDevice) {
  EXPECT_EQ(places_on_devices({"a", "b", "a", "b", "a", "c"}), (std::vector<int>{0, 0, 1, 1, 2, 0}));
  EXPECT_TRUE(places_on_devices({}).empty());
}

// All ranks on one device, each with 100 samples a second whoever works beside it.
int calibrated(const std::function<double(int trial)>& free, int* calls = nullptr) {
  int trial = 0, mine = 0;
  const int out = calibrate_sharing(
      world(), world().rank(), world().size(), [&] { return ++mine, 100.0; }, [&] { return free(++trial); });
  if (calls) *calls = mine;
  return out;
}

TEST(Sharing, TriesAsManyRanksAsThereAre) {
  int calls = 0;
  const int best = calibrated([](int) { return 1.0; }, &calls);
  const int size = world().size();
  EXPECT_EQ(best, size >= 4 ? 4 : size >= 2 ? 2 : 1);  // each rank adds its own rate
  const int trials = size >= 4 ? 3 : size >= 2 ? 2 : 1;
  const int place = world().rank();
  EXPECT_EQ(calls, place == 0 ? trials : place == 1 ? trials - 1 : place <= 3 && size >= 4 ? 1 : 0);
}

TEST(Sharing, StopsWhereMemoryEnds) {
  // A rank takes a tenth, and the next a third: four would not fit.
  const auto free = [](int tried) { return tried == 1 ? 0.9 : 0.55; };
  EXPECT_EQ(calibrated(free), world().size() >= 2 ? 2 : 1);
  EXPECT_EQ(calibrated([](int) { return 0.5; }), 1);  // a second one would leave nothing
  // Out of memory: the trial counts for nothing, on all ranks.
  const int best = calibrate_sharing(
      world(), world().rank(), world().size(), [&] { return world().rank() == 1 ? 0.0 : 100.0; },
      [] { return 1.0; });
  EXPECT_EQ(best, 1);
}

TEST(Sharing, FailsOnAllRanksTogether) {
  EXPECT_THROW(calibrate_sharing(
                   world(), world().rank(), world().size(),
                   []() -> double { throw ConfigError("no such model"); }, [] { return 1.0; }),
               Error);
}

}  // namespace
}  // namespace expunge::test
