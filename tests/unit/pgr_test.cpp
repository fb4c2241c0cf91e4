// PGR: the reader on hand-made files, on the shipped sample and on the whole release where it is; deletion of
// whole edges and of pairs of images.
#include <algorithm>

#include "data/caption.hpp"
#include "tests/unit/data_fixture.hpp"

namespace expunge::data {
namespace {

const std::string kHeader =
    "FILE_ID\tSENTENCE\tGENE\tPHENOTYPE\tGENE_ID\tPHENOTYPE_ID\tGENE_START_POSITION\tGENE_END_POSITION\t"
    "PHENOTYPE_START_POSITION\tPHENOTYPE_END_POSITION\tRELATION\n";

std::string line(const std::string& sentence, const std::string& gene, const std::string& phenotype,
                 const std::string& relation) {
  return "1\t" + sentence + "\tG\tP\t" + gene + "\t" + phenotype + "\t0\t1\t2\t3\t" + relation;
}

using Pair = std::pair<std::int64_t, std::int64_t>;
Pair ends(const Dataset& data, Side side, std::int64_t id) {
  return {image_of(data, side, id), captioned_image(data, side, id)};
}

class Pgr : public DataTest {
 protected:
  void make(const std::string& train) {
    write("pgr/train.tsv", train);
    write("pgr/test.tsv", kHeader + line("Lost sight", "7", "HP_2", "TRUE") + "\tC\r\n");
  }
};

TEST_F(Pgr, NumbersNodesAndHashesSentences) {
  make(kHeader + line("ABC1 and deafness", "9", "HP_1", "True") + "\n" +
       line("No word of it", "10", "HP_3", "False") + "\n");
  const auto data = open("pgr", at("pgr"));
  ASSERT_EQ(data->size(Side::kTrain), 2);
  ASSERT_EQ(data->size(Side::kTest), 1);
  // Genes 10, 7, 9 in the order of their texts, then phenotypes 1, 2, 3.
  EXPECT_EQ(data->info().nodes, 6);
  EXPECT_EQ(describe("pgr", at("pgr")).nodes, 6);
  EXPECT_EQ(ends(*data, Side::kTrain, 0), (Pair{2, 3}));
  EXPECT_EQ(ends(*data, Side::kTrain, 1), (Pair{0, 5}));
  EXPECT_EQ(ends(*data, Side::kTest, 0), (Pair{1, 4}));
  EXPECT_EQ(data->label(Side::kTrain, 0), 1);
  EXPECT_EQ(data->label(Side::kTrain, 1), 0);
  EXPECT_EQ(data->label(Side::kTest, 0), 1);
  const auto words = hash_words("abc1 AND deafness", 64, 512);
  std::vector<std::int64_t> read(64);
  read_caption(*data, Side::kTrain, 0, read.data());
  EXPECT_TRUE(std::equal(words.begin(), words.end(), read.begin()));
}

TEST_F(Pgr, SaysWhatIsWrong) {
  make(kHeader + "1\ttoo\tshort\n");
  EXPECT_NE(message_of(65, [&] { open("pgr", at("pgr")); }).find("train.tsv:2: expected 11 columns"),
            std::string::npos);
  make(kHeader + line("a", "1", "HP_1", "Maybe") + "\n");
  EXPECT_NE(message_of(65, [&] { open("pgr", at("pgr")); }).find("RELATION is \"Maybe\""), std::string::npos);
  make(kHeader + line("a", "", "HP_1", "True") + "\n");
  EXPECT_NE(message_of(65, [&] { open("pgr", at("pgr")); }).find("no GENE_ID"), std::string::npos);
  message_of(66, [&] { open("pgr", at("nowhere")); });
}

struct Counts {
  std::int64_t train, test, nodes, related, related_in_test;
};

void expect_counts(const Dataset& data, const Counts& counts) {
  const auto related = [&](Side side) {
    std::int64_t out = 0;
    for (std::int64_t id = 0; id < data.size(side); ++id) out += data.label(side, id);
    return out;
  };
  EXPECT_EQ(data.size(Side::kTrain), counts.train);
  EXPECT_EQ(data.size(Side::kTest), counts.test);
  EXPECT_EQ(data.info().nodes, counts.nodes);
  EXPECT_EQ(related(Side::kTrain), counts.related);
  EXPECT_EQ(related(Side::kTest), counts.related_in_test);
}

// Counted with cut, sort and uniq.
TEST_F(Pgr, ReadsTheShippedSample) {
  expect_counts(*open("pgr", {{"path", (kSamples / "pgr").string()}}), {700, 100, 522, 291, 35});
}

TEST_F(Pgr, ReadsTheRelease) {
  const char* given = ::getenv("EXPUNGE_TEST_DATA");
  const fs::path root = fs::path(given ? given : EXPUNGE_SOURCE_DIR "/../shared/data") / "pgr";
  if (!fs::exists(root)) GTEST_SKIP() << "PGR is not there: " << root;
  const auto data = open("pgr", {{"path", (root / "10_12_2018_corpus").string()}});
  const Info& constants = find_reader("pgr")->info;
  expect_counts(*data, {constants.train_size, constants.test_size, constants.nodes, 1443, 77});
}

}  // namespace
}  // namespace expunge::data
