// Texts with classes as samples: what makes tokens of them, the readers on hand-made folders and on a shipped
// sample, and what is told of a user's mistakes.
#include "data/text_samples.hpp"

#include "core/files.hpp"
#include "data/packed_cache.hpp"
#include "data/tokenizers/tokenizer.hpp"
#include "tests/unit/data_fixture.hpp"

namespace expunge::data {
namespace {

using Ids = std::vector<std::int32_t>;

const std::string kVocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\nbad\nfilm\n##s\n";

struct Stored {
  std::vector<std::int64_t> tokens;
  std::int64_t length = 0, first = 0;
};

class TextSamples : public DataTest {
 protected:
  Stored sample(const Dataset& dataset, Side side, std::int64_t id) {
    Stored out;
    out.tokens.resize(static_cast<std::size_t>(dataset.info().tokens));
    const auto lengths = read_text(dataset, side, id, out.tokens.data());
    out.length = lengths.tokens, out.first = lengths.prompt;
    return out;
  }
  nlohmann::json table(const std::string& train, const std::string& test, nlohmann::json more = {}) {
    write("own/train.csv", train);
    write("own/test.csv", test);
    nlohmann::json options{{"path", (folder_ / "own").string()}, {"reader", "text_table"}};
    if (!more.is_null()) options.update(more);
    return options;
  }
};

TEST(TextTokenizer, WordsAreHashedWithoutRegardToCase) {
  const TextTokenizer words("words");
  EXPECT_EQ(words.vocabulary(), kWordVocabulary);
  const auto a = words.encode({"Good film, GOOD!", "", 0}, 16);
  ASSERT_EQ(a.tokens.size(), 5u);
  EXPECT_EQ(a.tokens[0], kWholeText);
  EXPECT_EQ(a.tokens[1], a.tokens[3]);
  EXPECT_NE(a.tokens[1], a.tokens[2]);
  EXPECT_GT(a.tokens[1], kWholeText);
  EXPECT_LT(a.tokens[1], kWordVocabulary);
  EXPECT_EQ(a.tokens[4], kEndOfText);
  EXPECT_EQ(a.prompt, 5);
  EXPECT_EQ(words.encode({"", "", 0}, 16).tokens, (Ids{kWholeText, kEndOfText}));  // an empty text
}

TEST(TextTokenizer, TheLongerOfTwoTextsLosesItsEnd) {
  const TextTokenizer bytes("bytes");
  EXPECT_EQ(bytes.vocabulary(), kByteVocabulary);
  const auto pair = bytes.encode({"aaaaaaaa", "bb", 0}, 8);  // five of ten bytes stay
  EXPECT_EQ(pair.tokens, (Ids{2, 'a' + 3, 'a' + 3, 'a' + 3, 1, 'b' + 3, 'b' + 3, 1}));
  EXPECT_EQ(pair.prompt, 5);
  EXPECT_THROW(bytes.encode({"a", "b", 0}, 3), ConfigError);
}

TEST_F(TextSamples, VocabulariesComeFromFoldersAndFiles) {
  write("bert/vocab.txt", kVocabulary);
  for (const auto& place : {folder_ / "bert", folder_ / "bert" / "vocab.txt"}) {
    const TextTokenizer pieces(place.string());
    EXPECT_EQ(pieces.vocabulary(), 9);
    EXPECT_EQ(pieces.encode({"Good films", "", 0}, 16).tokens, (Ids{2, 5, 7, 8, 3}));
    const auto pair = pieces.encode({"good", "bad", 0}, 16);
    EXPECT_EQ(pair.tokens, (Ids{2, 5, 3, 6, 3}));
    EXPECT_EQ(pair.prompt, 3);
  }
  const ScopedEnvironment root("EXPUNGE_DATA_ROOT", folder_.string());
  write("tokenizers/small/vocab.txt", kVocabulary);
  EXPECT_EQ(TextTokenizer("small").vocabulary(), 9);  // below a data root
  EXPECT_EQ(tokenizer_key("small"), tokenizer_key((folder_ / "tokenizers" / "small").string()));
  EXPECT_NE(tokenizer_key("small"), tokenizer_key("words"));
  EXPECT_NE(message_of(66, [] { TextTokenizer("nowhere"); }).find("no tokenizer \"nowhere\""),
            std::string::npos);
}

TEST_F(TextSamples, PublishedLayoutsBecomeSamples) {
  for (const char* side : {"train", "test"}) {
    write(std::string("imdb/aclImdb/") + side + "/neg/3_1.txt", "bad film");
    write(std::string("imdb/aclImdb/") + side + "/pos/1_9.txt", "good film");
  }
  const ScopedEnvironment root("EXPUNGE_DATA_ROOT", folder_.string());
  const auto imdb = open("imdb");
  EXPECT_EQ(imdb->info().classes, 2);
  EXPECT_EQ(imdb->size(Side::kTrain), 2);
  EXPECT_EQ(imdb->label(Side::kTrain, 1), 1);
  EXPECT_EQ(sample(*imdb, Side::kTrain, 0).length, 4);
  EXPECT_EQ(describe("imdb").train_size, 2);
  EXPECT_EQ(describe("imdb").tokens, 256);
  EXPECT_EQ(describe("imdb", {{"tokens", 9}}).width, 9);

  write("rotten_tomatoes/rt-polaritydata/rt-polarity.neg", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
  write("rotten_tomatoes/rt-polaritydata/rt-polarity.pos", "k\nl\nm\nn\no\np\nq\nr\ns\nt\n");
  const auto rotten = open("rotten_tomatoes");
  EXPECT_EQ(rotten->size(Side::kTrain), 18);
  EXPECT_EQ(rotten->size(Side::kTest), 2);

  write("ddi2013/train.tsv", "p1\t@DRUG$ and @DRUG$\tDDI-false\np2\t@DRUG$ raises @DRUG$\tDDI-effect\n");
  write("ddi2013/dev.tsv", "p3\t@DRUG$\tDDI-int\n");
  write("ddi2013/test.tsv", "p4\t@DRUG$ with @DRUG$\tDDI-int\n");
  const auto ddi = open("ddi");
  EXPECT_EQ(ddi->size(Side::kTrain), 2);
  EXPECT_EQ(ddi->label(Side::kTrain, 1), 3);
  EXPECT_EQ(ddi->label(Side::kTest, 0), 4);
  EXPECT_EQ(ddi->info().classes, 5);
}

TEST_F(TextSamples, AnotherTokenizerIsAnotherPackedFile) {
  auto options = table("text,label\ngood film,1\nbad film,0\n", "text,label\nfilm,1\n");
  const auto hashed = open("own", options);
  EXPECT_EQ(hashed->info().vocabulary, kWordVocabulary);
  write("bert/vocab.txt", kVocabulary);
  options["tokenizer"] = (folder_ / "bert").string();
  options["tokens"] = 6;
  const auto pieces = open("own", options);
  EXPECT_EQ(pieces->info().vocabulary, 9);
  EXPECT_EQ(sample(*pieces, Side::kTrain, 0).tokens, (std::vector<std::int64_t>{2, 5, 7, 3, 0, 0}));
  write("bert/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nfilm\nbad\ngood\n");
  EXPECT_EQ(sample(*open("own", options), Side::kTrain, 0).tokens,
            (std::vector<std::int64_t>{2, 7, 5, 3, 0, 0}));
}

TEST_F(TextSamples, LargeVocabulariesHaveWiderTokens) {
  std::string vocabulary = kVocabulary;
  for (int i = 9; i < 70000; ++i) vocabulary += "w" + std::to_string(i) + "\n";
  write("large/vocab.txt", vocabulary);
  const auto dataset = open("own", table("text,label\nw69999 good,1\nbad,0\n", "text,label\nbad,1\n",
                                         {{"tokenizer", (folder_ / "large").string()}, {"tokens", 5}}));
  EXPECT_EQ(sample_bytes(dataset->info()), 4 * 5 + 8);
  EXPECT_EQ(sample(*dataset, Side::kTrain, 0).tokens, (std::vector<std::int64_t>{2, 69999, 5, 3, 0}));
  EXPECT_EQ(sample(*dataset, Side::kTrain, 1).length, 3);
}

TEST_F(TextSamples, ColumnsMayHaveOtherNames) {
  const auto dataset =
      open("own", table("\xEF\xBB\xBFid,claim,proof,verdict\n1,a,b,Yes\n2,,c,No\n",
                        "id,claim,proof,verdict\n3,d,e,NO\n",
                        {{"text_column", "claim"}, {"second_column", "proof"}, {"label_column", "verdict"}}));
  EXPECT_EQ(dataset->info().classes, 2);
  EXPECT_EQ(dataset->label(Side::kTrain, 0), 1);
  EXPECT_EQ(dataset->label(Side::kTest, 0), 0);  // in another case
  const auto pair = sample(*dataset, Side::kTrain, 0);
  EXPECT_EQ(pair.first, 3);
  EXPECT_EQ(pair.length, 5);
  EXPECT_EQ(sample(*dataset, Side::kTrain, 1).first, 2);  // an empty text
}

TEST_F(TextSamples, JsonLinesMayHaveTruthValues) {
  write("own/train.jsonl", "{\"text\": \"a\", \"label\": true}\n{\"text\": \"b\", \"label\": false}\n");
  write("own/test.jsonl", "{\"text\": \"c\", \"label\": true}\n");
  const auto dataset = open("own", {{"path", (folder_ / "own").string()}, {"reader", "text_table"}});
  EXPECT_EQ(dataset->label(Side::kTrain, 0), 1);
  EXPECT_EQ(dataset->label(Side::kTest, 0), 1);
}

TEST_F(TextSamples, MistakesAreTold) {
  const auto bad = [&](const std::string& train, nlohmann::json more = {}) {
    const auto options = table(train, "text,label\na,0\n", std::move(more));
    return message_of(65, [&] { open("own", options); });
  };
  EXPECT_NE(bad("review,label\na,0\n").find("no \"text\"; there is review, label"), std::string::npos);
  EXPECT_NE(bad("text,label\na,0\n", {{"label_column", "class"}}).find("no \"class\""), std::string::npos);
  EXPECT_NE(bad("text,label\na,0\n", {{"second_column", "b"}}).find("no \"b\""), std::string::npos);
  EXPECT_NE(bad("text,label\na,0\nb\xFF,1\n").find("train.csv:3: not UTF-8"), std::string::npos);
  EXPECT_NE(bad("text,label\na,\n").find("the label is empty"), std::string::npos);
  EXPECT_NE(bad("text,label\na,0\nb,0\n").find("all samples have the class"), std::string::npos);
  const auto refused = [](const std::string& name, const nlohmann::json& options) {
    return message_of(64, [&] { describe(name, options); });
  };
  EXPECT_NE(refused("fashion_mnist", {{"tokenizer", "words"}}).find("no texts with classes"),
            std::string::npos);
  EXPECT_NE(refused("tofu", {{"tokenizer", "words"}}).find("no texts with classes"), std::string::npos);
  EXPECT_NE(refused("imdb", {{"text_column", "x"}}).find("columns of its own"), std::string::npos);
  EXPECT_NE(refused("imdb", {{"tokenizer", "no/such"}}).find("dataset.imdb.tokenizer: no tokenizer"),
            std::string::npos);
}

// Real sentences: the relations of PGR as texts with classes.
TEST_F(TextSamples, ShippedSentencesAreRead) {
  const nlohmann::json options{{"path", (kSamples / "pgr").string()},
                               {"reader", "text_table"},
                               {"text_column", "SENTENCE"},
                               {"label_column", "RELATION"},
                               {"tokens", 48}};
  const auto dataset = open("sentences", options);
  EXPECT_EQ(dataset->size(Side::kTrain), 700);
  EXPECT_EQ(dataset->size(Side::kTest), 100);
  EXPECT_EQ(dataset->info().classes, 2);
  std::int64_t positive = 0, test = 0;
  for (std::int64_t id = 0; id < 700; ++id) positive += dataset->label(Side::kTrain, id);
  for (std::int64_t id = 0; id < 100; ++id) test += dataset->label(Side::kTest, id);
  EXPECT_EQ(positive, 291);
  EXPECT_EQ(test, 35);  // 18 TRUE and 17 True
  EXPECT_GT(sample(*dataset, Side::kTrain, 0).length, 20);
}

}  // namespace
}  // namespace expunge::data
