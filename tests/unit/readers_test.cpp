// The readers: hand-made files, damaged files, the shipped samples and, where they are, the shared CIFAR
// subsets.
#include <algorithm>

#include "core/hash.hpp"
#include "data/idx_file.hpp"
#include "tests/unit/data_fixture.hpp"
#include "tests/unit/hand_made_images.hpp"

namespace expunge::data {
namespace {

std::string sha256_of_pixels(const Dataset& data, Side side) {
  const Info& info = data.info();
  return sha256_hex({reinterpret_cast<const char*>(data.pixels(side, 0)),
                     static_cast<std::size_t>(data.size(side) * info.channels * info.height * info.width)});
}

std::vector<int> label_counts(const Dataset& data, Side side) {
  std::vector<int> counts(static_cast<std::size_t>(data.info().classes));
  for (std::int64_t i = 0; i < data.size(side); ++i) ++counts[static_cast<std::size_t>(data.label(side, i))];
  return counts;
}

TEST(Registry, NamesEqualFileNames) {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(fs::path(EXPUNGE_SOURCE_DIR) / "src" / "data" / "readers"))
    files.push_back(entry.path().stem().string());
  std::sort(files.begin(), files.end());
  EXPECT_EQ(reader_names(), files);
}

std::string idx_images(std::uint32_t count, const std::string& values, std::uint32_t side = 28) {
  return big_endian(0x803) + big_endian(count) + big_endian(side) + big_endian(side) + values;
}
std::string idx_labels(const std::string& values) {
  return big_endian(0x801) + big_endian(static_cast<std::uint32_t>(values.size())) + values;
}

class FashionMnist : public DataTest {
 protected:
  // Two training images (constant 1 and 2; labels 3 and 9), one test image (constant 7, label 0).
  FashionMnist() {
    write("f/train-images-idx3-ubyte", idx_images(2, std::string(784, '\1') + std::string(784, '\2')));
    write("f/train-labels-idx1-ubyte", idx_labels("\3\t"));
    write("f/t10k-images-idx3-ubyte.gz", gzip_file(idx_images(1, std::string(784, '\7'))));
    write("f/t10k-labels-idx1-ubyte", idx_labels(std::string(1, '\0')));
  }
  std::string problem(const std::string& name, const std::string& content) {
    const auto file = write("f/" + name, content);
    const std::string message = message_of(65, [&] { open("fashion_mnist", at("f")); });
    EXPECT_NE(message.find(file.string()), std::string::npos) << message;
    return message;
  }
};

TEST_F(FashionMnist, ReadsPlainAndCompressedFiles) {
  const auto data = open("fashion_mnist", at("f"));
  ASSERT_EQ(data->size(Side::kTrain), 2);
  ASSERT_EQ(data->size(Side::kTest), 1);
  EXPECT_EQ(data->label(Side::kTrain, 0), 3);
  EXPECT_EQ(data->label(Side::kTrain, 1), 9);
  EXPECT_EQ(data->label(Side::kTest, 0), 0);
  EXPECT_TRUE(std::all_of(data->pixels(Side::kTrain, 1), data->pixels(Side::kTrain, 1) + 784,
                          [](int p) { return p == 2; }));
  EXPECT_EQ(data->pixels(Side::kTest, 0)[783], 7);
  EXPECT_EQ(data->info().train_size, 2);
  EXPECT_EQ(describe("fashion_mnist", at("f")).train_size, 2);
  EXPECT_EQ(describe("fashion_mnist", at("f")).test_size, 1);
}

TEST_F(FashionMnist, DamageIsNamed) {
  const std::string images = idx_images(2, std::string(2 * 784, '\1'));
  EXPECT_NE(problem("train-images-idx3-ubyte", "").find("empty file"), std::string::npos);
  EXPECT_NE(problem("train-images-idx3-ubyte", "not an IDX file at all").find("not an IDX file"),
            std::string::npos);
  EXPECT_NE(problem("train-images-idx3-ubyte", images.substr(0, 10)).find("truncated header"),
            std::string::npos);
  EXPECT_NE(problem("train-images-idx3-ubyte", images.substr(0, images.size() - 1))
                .find("truncated: 1567 values instead of 1568"),
            std::string::npos);
  EXPECT_NE(problem("train-images-idx3-ubyte", images + "x").find("longer than its header"),
            std::string::npos);
  EXPECT_NE(problem("train-images-idx3-ubyte", idx_images(2, std::string(2 * 9, 'x'), 3)).find("3x3"),
            std::string::npos);
  EXPECT_NE(
      problem("train-images-idx3-ubyte", idx_images(0xffffffffu, "x", 0xffffffffu)).find("impossible size"),
      std::string::npos);
  EXPECT_NE(problem("train-images-idx3-ubyte", idx_images(0x01000000u, "x")).find("truncated"),
            std::string::npos);
  write("f/train-images-idx3-ubyte", images);
  EXPECT_NE(problem("train-labels-idx1-ubyte", idx_labels("\1\2\3")).find("3 labels"), std::string::npos);
  EXPECT_NE(
      problem("train-labels-idx1-ubyte", idx_labels("\1\n")).find("label 10 of sample 1 is out of range"),
      std::string::npos);
  write("f/train-labels-idx1-ubyte", idx_labels("\1\2"));
  std::string gz = gzip_file(idx_images(1, std::string(784, '\7')));
  EXPECT_NE(problem("t10k-images-idx3-ubyte.gz", gz.substr(0, 400)).find("t10k"), std::string::npos);
  EXPECT_NE(problem("t10k-images-idx3-ubyte.gz", gz.substr(0, gz.size() - 4)).find("damaged gzip"),
            std::string::npos);
  gz[200] = static_cast<char>(gz[200] ^ 1);  // CRC
  EXPECT_NE(problem("t10k-images-idx3-ubyte.gz", gz).find("damaged gzip"), std::string::npos);
}

TEST_F(FashionMnist, SamplesAreTheRealImages) {
  const auto data = open("fashion_mnist", {{"path", kSamples.string()}});
  EXPECT_EQ(label_counts(*data, Side::kTrain), std::vector<int>(10, 20));
  EXPECT_EQ(label_counts(*data, Side::kTest), std::vector<int>(10, 10));
  // Hashed by another program from the published files.
  EXPECT_EQ(sha256_of_pixels(*data, Side::kTrain),
            "0d2713e45f83ed657a384f00b91a91e3ee21cc2b5c315b900b63f59fec0b6732");
  EXPECT_EQ(sha256_of_pixels(*data, Side::kTest),
            "eb3585793c185ea66401a9ada970856650085eeb6dfdf0ff59eab0c9d9885edf");
  const std::vector<std::int64_t> first{9, 0, 0, 3, 0, 2, 7, 2, 5, 5};
  for (std::size_t i = 0; i < first.size(); ++i)
    EXPECT_EQ(data->label(Side::kTrain, static_cast<std::int64_t>(i)), first[i]);
}

std::string cifar_record(const std::string& labels, char red, char green, char blue) {
  return labels + std::string(1024, red) + std::string(1024, green) + std::string(1024, blue);
}

class Cifar : public DataTest {
 protected:
  std::string problem(const std::string& name) {
    const std::string message = message_of(65, [&] { open("cifar10", at("c")); });
    EXPECT_NE(message.find((folder_ / "c" / name).string()), std::string::npos) << message;
    return message;
  }
};

TEST_F(Cifar, BatchesMayBeMissing) {
  write("c/cifar-10-batches-bin/data_batch_2.bin", cifar_record("\4", 1, 2, 3));
  write("c/cifar-10-batches-bin/data_batch_5.bin", cifar_record("\5", 4, 5, 6) + cifar_record("\6", 7, 8, 9));
  write("c/cifar-10-batches-bin/test_batch.bin", cifar_record(std::string(1, '\0'), 10, 11, 12));
  const auto data = open("cifar10", at("c"));
  ASSERT_EQ(data->size(Side::kTrain), 3);
  ASSERT_EQ(data->size(Side::kTest), 1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(data->label(Side::kTrain, i), 4 + i);
    EXPECT_EQ(data->pixels(Side::kTrain, i)[0], 3 * i + 1);
    EXPECT_EQ(data->pixels(Side::kTrain, i)[1024], 3 * i + 2);
    EXPECT_EQ(data->pixels(Side::kTrain, i)[3071], 3 * i + 3);
  }
  EXPECT_EQ(describe("cifar10", at("c")).train_size, 3);
}

TEST_F(Cifar, FineLabelsOfCifar100) {
  write("c/cifar-100-binary/train.bin", cifar_record("\7\x63", 1, 2, 3));
  write("c/cifar-100-binary/test.bin", cifar_record("\1\2", 4, 5, 6));
  const auto data = open("cifar100", at("c"));
  EXPECT_EQ(data->label(Side::kTrain, 0), 99);
  EXPECT_EQ(data->label(Side::kTest, 0), 2);
  EXPECT_EQ(data->pixels(Side::kTest, 0)[0], 4);
}

TEST_F(Cifar, DamageIsNamed) {
  const std::string name = "cifar-10-batches-bin/data_batch_1.bin", good = cifar_record("\1", 1, 2, 3);
  write("c/cifar-10-batches-bin/test_batch.bin", good);
  write("c/" + name, good + good.substr(0, 100));
  EXPECT_NE(problem(name).find("3173 bytes are no whole number of records of 3073 bytes"), std::string::npos);
  write("c/" + name, good + cifar_record("\n", 1, 2, 3));
  EXPECT_NE(problem(name).find("label 10 of record 1 is out of range"), std::string::npos);
  write("c/" + name, "");
  EXPECT_NE(problem(name).find("empty file"), std::string::npos);
}

TEST_F(Cifar, PngClassFolders) {
  const auto png = [](int red) {
    return png_file(32,
                    std::vector<std::string>(32,
                                             [&] {
                                               std::string row;
                                               for (int x = 0; x < 32; ++x)
                                                 row += std::string{static_cast<char>(red), '\5', '\6'};
                                               return row;
                                             }()),
                    8, 2);
  };
  for (int label = 0; label < 10; ++label) write(fmt::format("c/train/class{}/img.png", label), png(label));
  write("c/test/class3/a.png", png(50));
  write("c/test/class3/b.png", png(51));
  const auto data = open("cifar10", at("c"));
  ASSERT_EQ(data->size(Side::kTrain), 10);
  ASSERT_EQ(data->size(Side::kTest), 2);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(data->label(Side::kTrain, i), i);
    EXPECT_EQ(data->pixels(Side::kTrain, i)[1023], i);
    EXPECT_EQ(data->pixels(Side::kTrain, i)[1024], 5);
    EXPECT_EQ(data->pixels(Side::kTrain, i)[3071], 6);
  }
  EXPECT_EQ(data->label(Side::kTest, 1), 3);
  EXPECT_EQ(data->pixels(Side::kTest, 1)[0], 51);
  fs::remove_all(folder_ / "c" / "train" / "class9");
  EXPECT_NE(problem("train").find("expected 10 class folders, found 9"), std::string::npos);
}

// The shared subsets of the real archives; their hashes were computed by another program.
TEST_F(Cifar, RealSubsets) {
  const char* root = ::getenv("EXPUNGE_SHARED_DATA");
  const fs::path shared = root ? fs::path(root) : fs::path(EXPUNGE_SOURCE_DIR "/../shared/data");
  if (!fs::exists(shared / "cifar10")) GTEST_SKIP() << "needs real CIFAR files (EXPUNGE_SHARED_DATA)";
  const auto ten = open("cifar10", {{"path", (shared / "cifar10").string()}});
  EXPECT_EQ(label_counts(*ten, Side::kTrain), std::vector<int>(10, 150));
  EXPECT_EQ(label_counts(*ten, Side::kTest), std::vector<int>(10, 30));
  EXPECT_EQ(sha256_of_pixels(*ten, Side::kTrain),
            "a23ad031fb529c38587ef54e73f3a9173385d28233d60f9258a1217dab431410");
  EXPECT_EQ(sha256_of_pixels(*ten, Side::kTest),
            "9902774bd3703765073f51f78f18a54e21f7be584ff2a6e68c6998bde7936894");
  const auto hundred = open("cifar100", {{"path", (shared / "cifar100").string()}});
  EXPECT_EQ(label_counts(*hundred, Side::kTrain), std::vector<int>(100, 100));
  EXPECT_EQ(label_counts(*hundred, Side::kTest), std::vector<int>(100, 10));
  EXPECT_EQ(sha256_of_pixels(*hundred, Side::kTrain),
            "cb741841c104fed666ed15a9ac5fce9e31fcf669d6097e33681d9ce1de206fe5");
  EXPECT_EQ(hundred->label(Side::kTrain, 0), 47);
}

class ImageFolder : public DataTest {
 protected:
  nlohmann::json options(nlohmann::json more = nlohmann::json::object()) const {
    more["path"] = (folder_ / "i").string();
    more["reader"] = "image_folder";
    return more;
  }
  static std::string grey(int value, int height = 2) {
    return png_file(
        2,
        std::vector<std::string>(static_cast<std::size_t>(height), std::string(2, static_cast<char>(value))),
        8, 0);
  }
};

TEST_F(ImageFolder, ReadsClassesInOrderOfTheirNames) {
  write("i/train/dog/2.png", grey(3));
  write("i/train/dog/1.png", grey(2));
  write("i/train/cat/9.png", grey(1));
  write("i/train/cat/notes.txt", "ignored");
  write("i/test/dog/x.png", grey(4));
  const auto data = open("pets", options({{"mean", {0.25}}}));
  EXPECT_EQ(data->info().name, "pets");
  EXPECT_EQ(data->info().classes, 2);
  EXPECT_EQ(data->info().channels, 1);
  EXPECT_EQ(data->info().height, 2);
  EXPECT_EQ(data->info().mean, std::vector<double>{0.25});
  ASSERT_EQ(data->size(Side::kTrain), 3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(data->label(Side::kTrain, i), i == 0 ? 0 : 1);
    EXPECT_EQ(data->pixels(Side::kTrain, i)[3], i + 1);
  }
  EXPECT_EQ(data->label(Side::kTest, 0), 1);
  const Info info = describe("pets", options());
  EXPECT_EQ(info.train_size, 3);
  EXPECT_EQ(info.test_size, 1);
  EXPECT_EQ(info.classes, 2);
  EXPECT_EQ(info.width, 2);

  const auto colour = open("pets", options({{"channels", 3}}));
  EXPECT_EQ(colour->info().channels, 3);
  EXPECT_EQ(colour->info().mean.size(), 3u);
  EXPECT_EQ(colour->pixels(Side::kTrain, 2)[11], 3);
}

TEST_F(ImageFolder, SayWhatIsWrong) {
  write("i/train/cat/a.png", grey(1));
  write("i/test/cat/a.png", grey(1));
  write("i/train/dog/b.png", grey(1, 3));
  const auto problem = [&] { return message_of(65, [&] { open("pets", options()); }); };
  EXPECT_NE(problem().find("b.png: 2x3 pixels, but this data set has 2x2"), std::string::npos);
  write("i/train/dog/b.png", grey(1).substr(0, 40));
  EXPECT_NE(problem().find("b.png: damaged PNG"), std::string::npos);
  fs::remove(folder_ / "i/train/dog/b.png");
  EXPECT_NE(problem().find("dog: no .png"), std::string::npos);
  fs::remove(folder_ / "i/train/dog");
  write("i/test/cta/a.png", grey(1));
  EXPECT_NE(problem().find("did you mean \"cat\""), std::string::npos);
  fs::remove_all(folder_ / "i/test/cta");
  EXPECT_NE(message_of(64,
                       [&] {
                         open("pets", options({{"mean", {0.1, 0.2}}}));
                       })
                .find("expected 1 values"),
            std::string::npos);
  EXPECT_NE(message_of(64,
                       [&] {
                         open("pets", options({{"channels", 2}}));
                       })
                .find("expected 1 or 3"),
            std::string::npos);
}

}  // namespace
}  // namespace expunge::data
