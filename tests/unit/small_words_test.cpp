// Words and middles of lists.
#include <gtest/gtest.h>
#include <sched.h>

#include <cmath>

#include "core/counted.hpp"
#include "core/cpus.hpp"
#include "core/median.hpp"

namespace expunge {
namespace {

TEST(Median, IsTheMiddleOrTheMeanOfTheTwoMiddleValues) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
  EXPECT_EQ(median({7}), 7);
  EXPECT_TRUE(std::isnan(median({})));
}

TEST(Counted, HasAPlural) {
  EXPECT_EQ(counted(0, "rank"), "0 ranks");
  EXPECT_EQ(counted(1, "rank"), "1 rank");
  EXPECT_EQ(counted(2, "cell"), "2 cells");
}

TEST(OwnCpus, AreThoseOfTheAffinityMask) {
  cpu_set_t before, one;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  const auto all = own_cpus();
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(static_cast<int>(all.size()), CPU_COUNT(&before));
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(all.back()), &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(own_cpus(), std::vector<int>{all.back()});
  ::sched_setaffinity(0, sizeof before, &before);
}

}  // namespace
}  // namespace expunge
