// Tiny ImageNet: damage in a hand-made folder, and the real layout where it is at hand.
#include <algorithm>

#include "core/files.hpp"
#include "core/text.hpp"
#include "tests/unit/data_fixture.hpp"
#include "tests/unit/hand_made_images.hpp"

namespace expunge::data {
namespace {

class TinyImageNet : public DataTest {};

TEST_F(TinyImageNet, DamageIsNamed) {
  write("t/wnids.txt", "n2\nn1\n");
  write("t/train/n1/images/n1_0.JPEG", colour_jpeg());
  write("t/train/n2/images/n2_0.JPEG", colour_jpeg());
  write("t/val/val_annotations.txt", "val_0.JPEG\tn2\t0\t0\t1\t1\n");
  write("t/val/images/val_0.JPEG", colour_jpeg());
  EXPECT_EQ(describe("tiny_imagenet", at("t")).classes, 2);
  EXPECT_EQ(describe("tiny_imagenet", at("t")).train_size, 2);
  EXPECT_NE(message_of(65, [&] { open("tiny_imagenet", at("t")); }).find("8x8 pixels, expected 64x64"),
            std::string::npos);
  write("t/val/val_annotations.txt", "val_0.JPEG\tn3\t0\t0\t1\t1\n");
  EXPECT_NE(message_of(65, [&] { describe("tiny_imagenet", at("t")); }).find("val_annotations.txt:1"),
            std::string::npos);
  write("t/val/val_annotations.txt", "../x.JPEG\tn1\n");
  message_of(65, [&] { describe("tiny_imagenet", at("t")); });
  fs::remove(folder_ / "t/train/n1/images/n1_0.JPEG");
  EXPECT_NE(message_of(65, [&] { describe("tiny_imagenet", at("t")); }).find("no .JPEG files"),
            std::string::npos);
}

TEST_F(TinyImageNet, ReadsThePublishedLayout) {
  const char* value = std::getenv("EXPUNGE_REAL_DATA");
  const fs::path root =
      fs::path(value ? value : EXPUNGE_SOURCE_DIR "/../shared/data") / "tiny_imagenet" / "tiny-imagenet-200";
  if (!fs::exists(root))
    GTEST_SKIP() << "no " << root.string() << "; set EXPUNGE_REAL_DATA to the folder of real data sets";
  const auto data = open("tiny_imagenet", {{"path", root.string()}});
  EXPECT_EQ(data->size(Side::kTrain), 3200);
  EXPECT_EQ(data->size(Side::kTest), 800);
  EXPECT_EQ(data->info().classes, 200);
  auto names = split(read_file(root / "wnids.txt"), '\n');
  std::erase(names, "");
  std::sort(names.begin(), names.end());
  std::int64_t number = 0;
  for (const auto& line : split(read_file(root / "val" / "val_annotations.txt"), '\n')) {
    const auto fields = split(line, '\t');
    if (fields.size() < 2) continue;
    EXPECT_EQ(names[static_cast<std::size_t>(data->label(Side::kTest, number++))], fields[1]) << line;
  }
  EXPECT_EQ(number, 800);
}

}  // namespace
}  // namespace expunge::data
