// Units of deletion: edges and pairs of images are forgotten whole, and refused where a data set has none.
#include "data/units.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/error.hpp"
#include "data/split.hpp"
#include "tests/unit/fake_pairs.hpp"

namespace expunge::data {
namespace {

using Pair = std::pair<std::int64_t, std::int64_t>;
Pair ends(const Dataset& data, std::int64_t id) {
  return {image_of(data, Side::kTrain, id), captioned_image(data, Side::kTrain, id)};
}

TEST(ClassWeights, OfBalancedClassesGiveEachTheSameSum) {
  const FakePairs data({{0, 1, 0, {}}, {0, 2, 0, {}}, {0, 3, 1, {}}, {0, 4, 0, {}}});
  DataOptions options;
  const auto splits = make_splits(data, options, Ratio::parse(0.25));
  EXPECT_TRUE(class_weights(data, splits, options).empty());
  options.class_weights = "balanced";
  // 4 samples, 2 classes, 3 and 1 of each, D_f or not.
  EXPECT_EQ(class_weights(data, splits, options), (std::vector<double>{4.0 / 2 / 3, 2}));
  const FakePairs one_class({{0, 1, 0, {}}, {0, 2, 0, {}}});
  EXPECT_EQ(class_weights(one_class, make_splits(one_class, options, Ratio::parse(0.5)), options),
            (std::vector<double>{0.5, 1}));
}

TEST(Units, OfEdgesAndPairsOfImagesAreForgottenWhole) {
  // Twelve pairs with one to three samples each.
  std::vector<FakePair> samples;
  for (std::int64_t k = 0; k < 36; ++k)
    if (const std::int64_t pair = k % 12; k / 12 <= pair % 3)
      samples.push_back({pair % 4, 4 + pair / 4, 0, {}});
  for (const std::string unit : {"edge", "image_pair"}) {
    const FakePairs data(samples, {}, {unit});
    DataOptions options;
    options.unit = unit;
    std::set<std::int64_t> before;
    for (const double ratio : {0.1, 0.25, 0.5}) {
      const auto splits = make_splits(data, options, Ratio::parse(ratio));
      std::set<Pair> forgotten;
      for (auto id : splits.forget) forgotten.insert(ends(data, id));
      EXPECT_EQ(forgotten.size(), static_cast<std::size_t>(12 * ratio));
      for (auto id : splits.retain) EXPECT_FALSE(forgotten.count(ends(data, id)));
      EXPECT_EQ(splits.forget.size() + splits.retain.size(), samples.size());
      EXPECT_TRUE(std::includes(splits.forget.begin(), splits.forget.end(), before.begin(), before.end()));
      before = {splits.forget.begin(), splits.forget.end()};
    }
  }
}

TEST(Units, AreRefusedWhereThereAreNone) {
  const auto refusal = [](const Info& info, const std::string& unit) -> std::string {
    try {
      require_unit(info, unit);
      return "";
    } catch (const ConfigError& error) {
      return error.what();
    }
  };
  const Info& photos = find_reader("fashion_mnist")->info;
  for (const char* unit : {"image", "image_pair", "edge"})
    EXPECT_NE(refusal(photos, unit).find("fashion_mnist has no such unit of deletion (have: sample, class)"),
              std::string::npos);
  EXPECT_NE(refusal(find_reader("flickr8k")->info, "edge").find("(have: sample, class, image)"),
            std::string::npos);
  EXPECT_EQ(refusal(find_reader("flickr8k")->info, "image"), "");
  EXPECT_EQ(refusal(photos, "class"), "");
  EXPECT_EQ(refusal(photos, "sample"), "");
}

}  // namespace
}  // namespace expunge::data
