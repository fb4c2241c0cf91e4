// Deletion sets: ratios in integers, nested prefixes, published lists.
#include "data/split.hpp"

#include <algorithm>
#include <set>

#include "core/hash.hpp"
#include "data/deletion_list.hpp"
#include "tests/unit/data_fixture.hpp"

namespace expunge::data {
namespace {

using Ids = std::vector<std::int64_t>;

Ids united(Ids a, const Ids& b) {
  a.insert(a.end(), b.begin(), b.end());
  std::sort(a.begin(), a.end());
  return a;
}

Ids counted(std::int64_t n) {
  Ids out;
  for (std::int64_t i = 0; i < n; ++i) out.push_back(i);
  return out;
}

bool contains(const Ids& large, const Ids& small) {
  return std::includes(large.begin(), large.end(), small.begin(), small.end());
}

TEST(Ratio, IsExactWhereDoublesAreNot) {
  EXPECT_EQ(Ratio::parse(0.07).floor_of(100), 7);
  EXPECT_EQ(Ratio::parse(0.29).floor_of(100), 29);  // 0.29 * 100 = 28.999999999999996
  EXPECT_EQ(static_cast<std::int64_t>(0.29 * 100), 28);
  for (int percent = 0; percent <= 100; ++percent)
    EXPECT_EQ(Ratio::parse(percent / 100.0).floor_of(100), percent);
  EXPECT_EQ(Ratio::parse(0.1).floor_of(99), 9);
  EXPECT_EQ(Ratio::parse(0.999999999).floor_of(4000000000000000000), 3999999996000000000);
}

TEST(Ratio, KeepsTheDigitsAsWritten) {
  const Ratio ratio = Ratio::parse(0.020);
  EXPECT_EQ(ratio.text, "0.02");
  EXPECT_EQ(ratio.numerator, 2);
  EXPECT_EQ(ratio.denominator, 100);
  EXPECT_DOUBLE_EQ(ratio.value(), 0.02);
  EXPECT_EQ(Ratio::parse(1).text, "1");
  EXPECT_EQ(Ratio::parse(0).text, "0");
  EXPECT_EQ(Ratio::parse(1e-9).text, "0.000000001");
}

TEST(Ratio, RefusesWhatIsNoShare) {
  for (const double wrong : {-0.1, 1.1, std::nan(""), HUGE_VAL})
    EXPECT_NE(message_of(64, [&] { Ratio::parse(wrong); }).find("not in [0, 1]"), std::string::npos);
  EXPECT_NE(message_of(64, [] { Ratio::parse(1.0 / 3); }).find("9 decimals"), std::string::npos);
}

TEST(Splits, PartitionTheSamples) {
  const FakeDataset data(997, 50, 10);
  const DataOptions options{.train_limit = 500, .test_limit = 20, .split_seed = 3, .val_fraction = 0.1};
  const Splits s = make_splits(data, options, Ratio::parse(0.07));
  EXPECT_EQ(s.val.size(), 50u);
  EXPECT_EQ(s.train.size(), 450u);
  EXPECT_EQ(s.forget.size(), 31u);  // floor(0.07 * 450) = floor(31.5)
  EXPECT_EQ(s.test.size(), 20u);
  EXPECT_EQ(united(s.forget, s.retain), s.train);
  const Ids all = united(s.train, s.val);
  EXPECT_EQ(std::set<std::int64_t>(all.begin(), all.end()).size(), 500u);
  EXPECT_LT(all.back(), 997);
  for (const auto* ids : {&s.train, &s.forget, &s.retain, &s.val, &s.test})
    EXPECT_TRUE(std::is_sorted(ids->begin(), ids->end()));
  EXPECT_EQ(united(Ids(s.forget_order.begin(), s.forget_order.begin() + 31), {}), s.forget);
}

TEST(Splits, UseEverySampleWithoutLimits) {
  const FakeDataset data(40, 7, 10);
  const Splits s = make_splits(data, {}, Ratio::parse(0.5));
  EXPECT_EQ(s.train, counted(40));
  EXPECT_EQ(s.test, counted(7));
  EXPECT_TRUE(s.val.empty());
  EXPECT_TRUE(make_splits(data, {}, Ratio::parse(0)).forget.empty());
}

TEST(Splits, AreNested) {
  const FakeDataset data(1000, 10, 10);
  const DataOptions options{.split_seed = 5, .val_fraction = 0.05};
  Ids smaller;
  for (const double ratio : {0.01, 0.02, 0.05, 0.1, 0.3}) {
    const Ids larger = make_splits(data, options, Ratio::parse(ratio)).forget;
    EXPECT_GT(larger.size(), smaller.size());
    EXPECT_TRUE(contains(larger, smaller)) << ratio;
    smaller = larger;
  }
  const auto limited = [&](std::int64_t limit) {
    return make_splits(data, {.train_limit = limit, .split_seed = 5}, Ratio::parse(0.1)).train;
  };
  EXPECT_TRUE(contains(limited(400), limited(100)));
}

TEST(Splits, DependOnTheSplitSeedAlone) {
  const FakeDataset data(1000, 10, 10);
  const auto forget = [&](std::int64_t seed) {
    return make_splits(data, {.split_seed = seed}, Ratio::parse(0.1));
  };
  EXPECT_EQ(forget(1).forget_order, forget(1).forget_order);
  EXPECT_NE(forget(1).forget, forget(2).forget);
  EXPECT_EQ(forget(1).deletion_sha256, forget(1).deletion_sha256);
  EXPECT_NE(forget(1).deletion_sha256, forget(2).deletion_sha256);
}

// Pinned, and computed by a second implementation: a change here would change every drawn deletion set.
TEST(Splits, DrawTheSameSamplesForEver) {
  const FakeDataset data(60000, 10000, 10);
  const Splits s =
      make_splits(data, {.train_limit = 10000, .split_seed = 0, .val_fraction = 0.1}, Ratio::parse(0.02));
  EXPECT_EQ(Ids(s.forget_order.begin(), s.forget_order.begin() + 5), (Ids{48605, 33537, 8525, 48404, 26279}));
  EXPECT_EQ(Ids(s.train.begin(), s.train.begin() + 5), (Ids{2, 34, 49, 54, 63}));
  EXPECT_EQ(Ids(s.val.begin(), s.val.begin() + 5), (Ids{56, 99, 108, 222, 266}));
}

TEST(Splits, HashTheDeletionListInUse) {
  const FakeDataset data(20, 1, 2);
  const Splits s = make_splits(data, {}, Ratio::parse(0.1));
  ASSERT_EQ(s.forget_order.size(), 20u);
  EXPECT_EQ(s.deletion_sha256,
            sha256_hex(std::to_string(s.forget_order[0]) + "\n" + std::to_string(s.forget_order[1]) + "\n"));
}

TEST(Splits, ForgetWholeClasses) {
  const FakeDataset data(1000, 10, 10);
  const DataOptions options{.unit = "class"};
  const auto classes = [&](double ratio) {
    std::set<std::int64_t> out;
    const Splits s = make_splits(data, options, Ratio::parse(ratio));
    for (const auto id : s.forget) out.insert(data.label(Side::kTrain, id));
    EXPECT_EQ(s.forget.size(), 100 * out.size());
    EXPECT_EQ(split_sizes(data.info(), options, Ratio::parse(ratio)).forget,
              static_cast<std::int64_t>(s.forget.size()));
    return out;
  };
  EXPECT_EQ(classes(0.02).size(), 1u);
  EXPECT_EQ(classes(0.1).size(), 1u);
  EXPECT_EQ(classes(0.11).size(), 2u);
  EXPECT_EQ(classes(0.3).size(), 3u);
  const auto one = classes(0.1), three = classes(0.3);
  EXPECT_TRUE(std::includes(three.begin(), three.end(), one.begin(), one.end()));
}

TEST(Splits, SizesAreKnownWithoutOpening) {
  const FakeDataset data(997, 50, 10);
  for (const DataOptions& options :
       {DataOptions{}, DataOptions{.train_limit = 500, .test_limit = 20, .val_fraction = 0.1},
        DataOptions{.val_fraction = 0.25}}) {
    for (const double ratio : {0.01, 0.07, 0.1}) {
      const Splits s = make_splits(data, options, Ratio::parse(ratio));
      const SplitSizes sizes = split_sizes(data.info(), options, Ratio::parse(ratio));
      EXPECT_EQ(sizes.train, static_cast<std::int64_t>(s.train.size()));
      EXPECT_EQ(sizes.forget, static_cast<std::int64_t>(s.forget.size()));
      EXPECT_EQ(sizes.retain, static_cast<std::int64_t>(s.retain.size()));
      EXPECT_EQ(sizes.val, static_cast<std::int64_t>(s.val.size()));
      EXPECT_EQ(sizes.test, static_cast<std::int64_t>(s.test.size()));
    }
  }
}

TEST(Splits, SayWhatDoesNotFit) {
  const FakeDataset data(100, 10, 10);
  EXPECT_NE(message_of(64, [&] { make_splits(data, {.train_limit = 101}, Ratio::parse(0.1)); })
                .find("train_limit = 101"),
            std::string::npos);
  EXPECT_NE(message_of(64, [&] { make_splits(data, {.test_limit = 11}, Ratio::parse(0.1)); })
                .find("test_limit = 11"),
            std::string::npos);
  EXPECT_NE(message_of(64, [&] { make_splits(data, {}, Ratio::parse(0.009)); }).find("nothing to forget"),
            std::string::npos);
  EXPECT_NE(message_of(64, [&] { make_splits(data, {.deletion = "published"}, Ratio::parse(0.1)); })
                .find("no deletion list"),
            std::string::npos);
}

FakeDataset full_cifar100() {
  FakeDataset data(50000, 10000, 100);
  data.info_.name = data.info_.deletion_list = "cifar100";
  data.first_labels = {19, 29, 0, 11, 1, 86, 90, 28, 23, 31};
  return data;
}

TEST(PublishedList, PrefixesHaveTheLengthsOfTheBenchmark) {
  const FakeDataset data = full_cifar100();
  DataOptions options{.deletion = "published"};
  for (const auto& [ratio, count] :
       {std::pair{0.02, 1000}, {0.04, 2000}, {0.06, 3000}, {0.07, 3500}, {0.08, 4000}, {0.1, 5000}}) {
    const Splits s = make_splits(data, options, Ratio::parse(ratio));
    EXPECT_EQ(static_cast<int>(s.forget.size()), count);
    EXPECT_EQ(split_sizes(data.info(), options, Ratio::parse(ratio)).forget, count);
    EXPECT_EQ(s.forget_order.size(), 5000u);
    EXPECT_EQ(s.forget_order[0], 26604);
    EXPECT_EQ(s.forget_order[1], 23399);
  }
  options.val_fraction = 0.1;
  const Splits s = make_splits(data, options, Ratio::parse(0.1));
  EXPECT_EQ(s.val.size(), 5000u);
  EXPECT_EQ(s.forget, united(s.forget_order, {}));
  EXPECT_EQ(united(united(s.forget, s.retain), s.val), counted(50000));
}

TEST(PublishedList, IsRefusedForOtherData) {
  const DataOptions options{.deletion = "published"};
  const auto refusal = [&](const FakeDataset& data, const DataOptions& o, double ratio) {
    return message_of(64, [&] { make_splits(data, o, Ratio::parse(ratio)); });
  };
  FakeDataset subset(10000, 1000, 100);
  subset.info_.deletion_list = "cifar100";
  EXPECT_NE(refusal(subset, options, 0.1).find("10000 training samples instead of 50000"), std::string::npos);
  FakeDataset shuffled = full_cifar100();
  shuffled.first_labels[3] = 12;
  EXPECT_NE(refusal(shuffled, options, 0.1).find("sample 3 of this copy has label 12 instead of 11"),
            std::string::npos);
  EXPECT_NE(refusal(full_cifar100(), {.train_limit = 10, .deletion = "published"}, 0.1).find("train_limit"),
            std::string::npos);
  EXPECT_NE(refusal(full_cifar100(), {.deletion = "published", .unit = "class"}, 0.1).find("unit"),
            std::string::npos);
  EXPECT_NE(refusal(full_cifar100(), options, 0.11).find("10 %"), std::string::npos);
}

TEST(PublishedList, AllListsShippedAreSound) {
  int lists = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(EXPUNGE_SOURCE_DIR) / "data" / "deletion_lists")) {
    const DeletionList list = read_deletion_list(entry.path());
    EXPECT_EQ(list.dataset, entry.path().stem().string());
    ++lists;
  }
  EXPECT_EQ(lists, 9);
  EXPECT_EQ(published_list("cifar10").indices.size(), 5000u);
  EXPECT_EQ(published_list("cifar10").indices[0], 14943);
}

class DeletionListFile : public DataTest {
 protected:
  std::string problem(const std::string& header, const std::string& body) {
    const auto file = write("list.txt", header + "# sha256: " + sha256_hex(body) + "\n" + body);
    return message_of(65, [&] { read_deletion_list(file); });
  }
};

TEST_F(DeletionListFile, DamageIsNamed) {
  const std::string header = "# train_size: 10\n";
  EXPECT_NE(problem(header, "3\n10\n").find("index 10 is out of range of 10"), std::string::npos);
  EXPECT_NE(problem(header, "3\n3\n").find("index 3 stands twice"), std::string::npos);
  EXPECT_NE(problem(header, "3\nfour\n").find("list.txt:4: expected an index, found \"four\""),
            std::string::npos);
  EXPECT_NE(problem(header, "3\n-1\n").find("expected an index"), std::string::npos);
  EXPECT_NE(problem(header, "").find("no indices"), std::string::npos);
  EXPECT_NE(problem("", "3\n").find("train_size"), std::string::npos);
  const auto file = write("edited.txt", header + "# sha256: " + sha256_hex("3\n4\n") + "\n3\n5\n");
  EXPECT_NE(message_of(65, [&] { read_deletion_list(file); }).find("damaged"), std::string::npos);
  EXPECT_NE(message_of(66, [&] { read_deletion_list(folder_ / "absent.txt"); }).find("absent.txt"),
            std::string::npos);
}

// Options as a job writes them.
TEST(DataOptionsReader, ReadsAndChecks) {
  config::Diagnostics problems;
  auto in = config::Reader::resolved(
      "data", {{"train_limit", 100}, {"val_fraction", 0.1}, {"unit", "class"}, {"augment_flip", true}},
      problems);
  const DataOptions options = read_data_options(in);
  in.finish();
  EXPECT_TRUE(problems.empty()) << problems.text();
  EXPECT_EQ(options.train_limit, 100);
  EXPECT_EQ(options.val_fraction, 0.1);
  EXPECT_EQ(options.unit, "class");
  EXPECT_EQ(options.deletion, "drawn");
  EXPECT_TRUE(options.augment_flip);

  auto wrong = config::Reader::resolved(
      "data", {{"val_fraction", 1.0}, {"deletion", "publish"}, {"train_limits", 5}}, problems);
  read_data_options(wrong);
  wrong.finish();
  EXPECT_EQ(problems.size(), 3u) << problems.text();
}

}  // namespace
}  // namespace expunge::data
