// Where data sets are found, and the packed cache.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "config/reader.hpp"
#include "core/files.hpp"
#include "data/packed_cache.hpp"
#include "data/split.hpp"
#include "tests/unit/data_fixture.hpp"

namespace expunge::data {
namespace {

class PackedCache : public DataTest {
 protected:
  PackedCache() {
    fs::create_directories(folder_ / "root");
    fs::copy(kSamples / "fashion_mnist", folder_ / "root" / "fashion_mnist");
  }
  std::shared_ptr<const Dataset> open_samples() { return open("fashion_mnist", at("root")); }
  std::vector<fs::path> packs() const {
    std::vector<fs::path> out;
    if (!fs::exists(folder_ / "cache" / "packed")) return out;
    for (const auto& entry : fs::directory_iterator(folder_ / "cache" / "packed"))
      if (entry.path().filename() != "lock") out.push_back(entry.path());
    return out;
  }
};

TEST_F(PackedCache, IsWrittenOnceAndAligned) {
  auto data = open_samples();
  ASSERT_EQ(packs().size(), 1u);
  EXPECT_EQ(packs()[0].extension(), ".pack");
  const auto written = fs::last_write_time(packs()[0]);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data->pixels(Side::kTrain, 0)) % 64, 0u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data->pixels(Side::kTest, 0)) % 64, 0u);
  const std::string checksum = data->checksum();
  EXPECT_EQ(checksum.size(), 32u);
  EXPECT_EQ(open_samples(), data);  // one mapping per process
  data.reset();
  EXPECT_EQ(open_samples()->checksum(), checksum);
  EXPECT_EQ(fs::last_write_time(packs()[0]), written);
}

TEST_F(PackedCache, FollowsItsSources) {
  const std::string checksum = open_samples()->checksum();
  const fs::path labels = folder_ / "root/fashion_mnist/t10k-labels-idx1-ubyte";
  fs::remove(labels.string() + ".gz");
  std::string content = big_endian(0x801) + big_endian(100) + std::string(100, '\1');
  std::ofstream(labels, std::ios::binary) << content;
  const auto changed = open_samples();
  EXPECT_EQ(changed->label(Side::kTest, 0), 1);
  EXPECT_NE(changed->checksum(), checksum);
  EXPECT_EQ(packs().size(), 2u);
}

TEST_F(PackedCache, DamageIsRepaired) {
  const std::string checksum = open_samples()->checksum();
  const fs::path pack = packs()[0];
  const std::string good = read_file(pack);
  const auto repaired = [&](const std::string& bytes) {
    fs::remove(pack);
    std::ofstream(pack, std::ios::binary) << bytes;
    EXPECT_EQ(open_samples()->checksum(), checksum);
    return read_file(pack) == good;
  };
  EXPECT_TRUE(repaired(""));
  EXPECT_TRUE(repaired("short"));
  EXPECT_TRUE(repaired(good.substr(0, good.size() - 64)));
  for (const std::size_t at : {0ul, 9ul, 17ul, 25ul, 70ul, good.size() / 2, good.size() - 100}) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    EXPECT_TRUE(repaired(bad)) << at;
  }
}

TEST_F(PackedCache, UnwritableCacheKeepsTheDataInMemory) {
  const std::string checksum = open_samples()->checksum();
  write("file", "");
  const ScopedEnvironment cache("EXPUNGE_CACHE", (folder_ / "file" / "below").string());
  const auto data = open_samples();
  EXPECT_EQ(data->checksum(), checksum);
  EXPECT_EQ(data->size(Side::kTrain), 200);
}

TEST_F(PackedCache, SeveralProcessesShareOneFile) {
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      int code = 1;
      try {
        code = open_samples()->label(Side::kTrain, 0) == 9 ? 0 : 2;
      } catch (...) {
      }
      ::_exit(code);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(packs().size(), 1u);
}

TEST_F(PackedCache, DamagedSourcesLeaveNoFile) {
  const fs::path labels = folder_ / "root/fashion_mnist/t10k-labels-idx1-ubyte";
  fs::remove(labels.string() + ".gz");
  std::ofstream(labels, std::ios::binary) << big_endian(0x801) + big_endian(100) + std::string(99, '\1');
  message_of(65, [&] { open_samples(); });
  EXPECT_TRUE(packs().empty());
}

TEST_F(DataTest, MissingDataNamesEveryPlace) {
  const ScopedEnvironment roots("EXPUNGE_DATA_ROOT",
                                (folder_ / "one").string() + ":" + (folder_ / "two").string());
  const std::string message = message_of(66, [] { open("cifar100"); });
  for (const char* place : {"one/cifar100/cifar-100-binary", "two/cifar-100-binary", "cache/data/cifar100",
                            "/usr/share/datasets"})
    EXPECT_NE(message.find(place), std::string::npos) << message;
  EXPECT_NE(message.find("EXPUNGE_DATA_ROOT"), std::string::npos);
  std::string where;
  EXPECT_FALSE(available("cifar100", {}, where));
  EXPECT_EQ(where, message);
  EXPECT_EQ(describe("cifar100").train_size, 50000);  // the published size where no files are
}

TEST_F(DataTest, RootsAreSearchedInOrder) {
  const ScopedEnvironment roots("EXPUNGE_DATA_ROOT", kSamples.string());
  EXPECT_EQ(data_roots()[0], kSamples);
  EXPECT_EQ(data_roots()[1], folder_ / "cache" / "data");
  std::string where;
  EXPECT_TRUE(available("fashion_mnist", {}, where));
  EXPECT_EQ(open("fashion_mnist")->size(Side::kTrain), 200);
  EXPECT_FALSE(available("fashion_mnist", {{"path", (folder_ / "nowhere").string()}},
                         where));  // a path replaces the roots
  EXPECT_TRUE(fs::exists(project_folder() / "deletion_lists" / "cifar10.txt"));
}

TEST_F(DataTest, UnknownNames) {
  EXPECT_NE(message_of(64, [] { open("fashionmnist"); }).find("did you mean \"fashion_mnist\""),
            std::string::npos);
  EXPECT_NE(message_of(64,
                       [] {
                         open("pets", {{"reader", "image_folders"}});
                       })
                .find("did you mean \"image_folder\""),
            std::string::npos);
  EXPECT_NE(message_of(64,
                       [] {
                         open("cifar10", {{"path", 3}});
                       })
                .find("dataset.cifar10.path"),
            std::string::npos);
}

TEST(DatasetOptions, AreCheckedWithTheJob) {
  config::Diagnostics problems;
  auto in = config::Reader::resolved(
      "dataset.pets", {{"path", "p"}, {"reader", "image_folder"}, {"mean", {0.5, 0.25, 0.5}}}, problems);
  const auto options = read_dataset_options(in);
  in.finish();
  EXPECT_TRUE(problems.empty()) << problems.text();
  EXPECT_EQ(options, (nlohmann::json{{"path", "p"}, {"reader", "image_folder"}, {"mean", {0.5, 0.25, 0.5}}}));
  auto wrong = config::Reader::resolved("dataset.pets",
                                        {{"reader", "image_foldr"}, {"channels", 2}, {"pth", "x"}}, problems);
  read_dataset_options(wrong);
  wrong.finish();
  EXPECT_EQ(problems.size(), 3u) << problems.text();
}

}  // namespace
}  // namespace expunge::data
