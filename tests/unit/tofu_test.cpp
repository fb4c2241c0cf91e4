// Text as bytes, the TOFU reader on a hand-made folder and on the shipped sample, its published forget sets.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "data/byte_text.hpp"
#include "data/deletion_list.hpp"
#include "data/split.hpp"
#include "tests/unit/data_fixture.hpp"

namespace expunge::data {
namespace {

std::string pair(const std::string& question, const std::string& answer) {
  return "{\"question\": \"" + question + "\", \"answer\": \"" + answer + "\"}\n";
}

TEST(ByteText, IsByT5s) {
  EXPECT_EQ(byte_tokens("Aé"), (std::vector<std::uint16_t>{68, 198, 172}));  // 0x41, 0xc3, 0xa9, each + 3
  EXPECT_EQ(byte_text({68, 198, 172, 1, 0, 0}), "Aé");
  std::string all(256, 0);
  std::iota(all.begin(), all.end(), 0);
  const auto tokens = byte_tokens(all);
  EXPECT_EQ(byte_text({tokens.begin(), tokens.end()}), all);
  EXPECT_EQ(*std::max_element(tokens.begin(), tokens.end()), kByteVocabulary - 1);
}

TEST(ByteText, AnswersStandBehindThePrompt) {
  const TextSample s = question_and_answer("Who?", "Me.");
  const std::string text = byte_text({s.tokens.begin(), s.tokens.end()});
  EXPECT_EQ(text, "Question: Who?\nAnswer: Me.");
  EXPECT_EQ(s.prompt, static_cast<std::int64_t>(text.size()) - 3);
  EXPECT_EQ(s.tokens.back(), kEndOfText);
}

class Tofu : public DataTest {
 protected:
  nlohmann::json make(int retain, int forget) {
    std::string kept, deleted;
    for (int i = 0; i < retain; ++i)
      kept += pair("r" + std::to_string(i), std::string(static_cast<std::size_t>(i), 'x'));
    for (int i = 0; i < forget; ++i) deleted += pair("f" + std::to_string(i), "y");
    write("tofu/retain90.json", kept);
    write("tofu/forget10.json", deleted);
    write("tofu/real_authors_perturbed.json", pair("Who wrote it?", "Her"));
    write("tofu/world_facts_perturbed.json", pair("Where?", "There") + pair("When?", "Then"));
    return {{"path", folder_.string()}, {"tokens", 40}};
  }
};

TEST_F(Tofu, ReadsPairsAsBytes) {
  const auto dataset = open("tofu", make(36, 4));
  const Info& info = dataset->info();
  EXPECT_EQ(info.task, "causal_lm");
  EXPECT_TRUE(info.text_alone());
  EXPECT_EQ(info.width, 40);
  EXPECT_EQ(dataset->size(Side::kTrain), 40);
  EXPECT_EQ(dataset->size(Side::kTest), 3);
  EXPECT_EQ(info.classes, 2);  // authors of 20 pairs
  EXPECT_EQ(info.task_classes(), 0);
  EXPECT_EQ(dataset->label(Side::kTrain, 19), 0);
  EXPECT_EQ(dataset->label(Side::kTrain, 20), 1);
  std::vector<std::int64_t> tokens(40);
  const auto check = [&](std::int64_t id, const std::string& text, std::int64_t length, std::int64_t prompt) {
    const auto lengths = read_text(*dataset, Side::kTrain, id, tokens.data());
    EXPECT_EQ(byte_text(tokens), text);
    EXPECT_EQ(lengths.tokens, length);
    EXPECT_EQ(lengths.prompt, prompt);
  };
  check(2, "Question: r2\nAnswer: xx", 24, 21);
  EXPECT_EQ(tokens[23], kEndOfText);
  EXPECT_EQ(tokens[24], 0);
  check(30, "Question: r30\nAnswer: " + std::string(18, 'x'), 40, 22);  // cut: no end
  check(39, "Question: f3\nAnswer: y", 23, 21);
}

TEST_F(Tofu, TokensAreCountedBeforeTheDataIsOpened) {
  const auto options = make(36, 4);
  const Info info = describe("tofu", options);
  EXPECT_EQ(info.train_size, 40);
  EXPECT_EQ(info.test_size, 3);
  EXPECT_EQ(info.width, 40);
  EXPECT_EQ(info.height, 1);
  EXPECT_THROW(describe("fashion_mnist", {{"tokens", 40}}), ConfigError);
}

TEST_F(Tofu, ForgetsWholeAuthors) {
  const auto dataset = open("tofu", make(80, 20));
  DataOptions options;
  options.unit = "class";
  const auto splits = make_splits(*dataset, options, Ratio::parse(0.4));
  EXPECT_EQ(splits.forget.size(), 40u);
  for (const auto id : splits.retain)
    for (const auto gone : splits.forget) EXPECT_NE(id / 20, gone / 20);
}

TEST_F(Tofu, SaysWhatIsWrong) {
  const auto options = make(3, 1);
  write("tofu/forget10.json", pair("a", "b") + "{\"question\": 3}\n");
  EXPECT_NE(message_of(65, [&] { open("tofu", options); }).find("forget10.json:2: expected one object"),
            std::string::npos);
  DataOptions published;
  published.deletion = "published";
  write("tofu/forget10.json", pair("a", "b"));
  const auto small = open("tofu", options);
  try {
    make_splits(*small, published, Ratio::parse(0.05));
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("4 training samples instead of 4000"), std::string::npos);
  }
}

TEST_F(Tofu, ShippedSampleIsWhole) {
  const auto dataset = open("tofu", {{"path", kSamples.string()}});
  EXPECT_EQ(dataset->size(Side::kTrain), 400);
  EXPECT_EQ(dataset->size(Side::kTest), 217);
  EXPECT_EQ(dataset->info().classes, 20);
  std::vector<std::int64_t> tokens(512);
  for (std::int64_t id = 0; id < 400; ++id) {
    const auto lengths = read_text(*dataset, Side::kTrain, id, tokens.data());
    EXPECT_LT(lengths.prompt, lengths.tokens);
    EXPECT_EQ(byte_text(tokens).rfind("Question: ", 0), 0u);
  }
}

// The published sets against the files that hold them.
TEST_F(Tofu, PublishedForgetSets) {
  const char* given = std::getenv("EXPUNGE_TOFU_DIR");
  const fs::path folder = given ? given : EXPUNGE_SOURCE_DIR "/../shared/data/tofu";
  if (!fs::exists(folder / "forget01.json"))
    GTEST_SKIP() << "no full TOFU in " << folder << " (EXPUNGE_TOFU_DIR)";
  const auto dataset = open("tofu", {{"path", folder.string()}});
  DataOptions options;
  options.deletion = "published";
  for (const auto& [ratio, name, count] :
       {std::tuple{0.01, "forget01", 40u}, {0.05, "forget05", 200u}, {0.1, "forget10", 400u}}) {
    const auto splits = make_splits(*dataset, options, Ratio::parse(ratio));
    ASSERT_EQ(splits.forget.size(), count);
    EXPECT_EQ(splits.retain.size(), 4000 - count);
    std::ifstream file(folder / (std::string(name) + ".json"));
    std::string line;
    for (const auto id : splits.forget) {
      ASSERT_TRUE(std::getline(file, line));
      const auto json = nlohmann::json::parse(line);
      const auto sample = question_and_answer(json.at("question"), json.at("answer"));
      std::vector<std::int64_t> tokens(512);
      read_text(*dataset, Side::kTrain, id, tokens.data());
      const std::string whole = byte_text({sample.tokens.begin(), sample.tokens.end()});
      EXPECT_EQ(byte_text(tokens), whole.substr(0, 512)) << name << " " << id;
    }
  }
}

}  // namespace
}  // namespace expunge::data
