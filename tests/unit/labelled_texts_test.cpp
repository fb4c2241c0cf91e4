// Text data sets: published layouts against hand-made files and, where they are at hand, the real ones.
#include "data/labelled_texts.hpp"

#include <map>

#include "core/files.hpp"
#include "tests/unit/data_fixture.hpp"

namespace expunge::data {
namespace {

fs::path real_data() {
  if (const char* value = std::getenv("EXPUNGE_REAL_DATA")) return value;
  return EXPUNGE_SOURCE_DIR "/../shared/data";
}
#define NEEDS(path)      \
  if (!fs::exists(path)) \
  GTEST_SKIP() << "no " << (path).string() << "; set EXPUNGE_REAL_DATA to the folder of real data sets"

class Texts : public DataTest {};

TEST_F(Texts, ImdbByNumberWithinAClass) {
  write("train/neg/10_1.txt", "bad<br />really");
  write("train/neg/9_4.txt", "worse");
  write("train/pos/2_10.txt", "caf\xE9");  // Latin-1
  const auto texts = read_imdb(folder_, Side::kTrain);
  ASSERT_EQ(texts.size(), 3u);
  EXPECT_EQ(texts[0].text, "worse");
  EXPECT_EQ(texts[1].text, "bad<br />really");
  EXPECT_EQ(texts[2].text, "caf\xC3\xA9");
  EXPECT_EQ(texts[1].label, 0);
  EXPECT_EQ(texts[2].label, 1);
  message_of(66, [&] { read_imdb(folder_, Side::kTest); });
}

TEST_F(Texts, RottenTomatoesKeepsTheLastTenthForTest) {
  std::string lines;
  for (int i = 0; i < 20; ++i) lines += "s" + std::to_string(i) + " \r\n";
  write("rt-polarity.neg", lines);
  write("rt-polarity.pos", lines);
  const auto train = read_rotten_tomatoes(folder_, Side::kTrain),
             test = read_rotten_tomatoes(folder_, Side::kTest);
  EXPECT_EQ(train.size(), 36u);
  ASSERT_EQ(test.size(), 4u);
  EXPECT_EQ(test[0].text, "s18");
  EXPECT_EQ(test[2].label, 1);
}

TEST(Ddi, MarksTheDrugsOfAPair) {
  const auto pairs = parse_ddi_xml(
      R"(<document><sentence id="s" text="&#233; aspirin with &quot;heparin&quot; or ACE inhibitors.">
         <entity id="a" charOffset="2-8"/><entity id="b" charOffset="16-22"/><entity id="c" charOffset="28-41"/><entity id="d" charOffset="32-41"/>
         <pair id="p0" e1="a" e2="b" ddi="true" type="effect"/><pair id="p1" e1="b" e2="a" ddi="false"/>
         <pair id="p2" e1="c" e2="d" ddi="true" type="int"/></sentence></document>)",
      "x.xml");
  ASSERT_EQ(pairs.size(), 3u);
  EXPECT_EQ(pairs[0].text, "\xC3\xA9 @DRUG$ with ''@DRUG$'' or ACE inhibitors.");
  EXPECT_EQ(pairs[0].label, 3);
  EXPECT_EQ(pairs[1].text, pairs[0].text);
  EXPECT_EQ(pairs[1].label, 0);
  EXPECT_EQ(pairs[2].text, "\xC3\xA9 aspirin with ''heparin'' or @DRUG-DRUG$.");
  EXPECT_EQ(pairs[2].label, 4);
}

TEST(Ddi, MistakesAreTold) {
  const auto bad = [](const std::string& xml) {
    return message_of(65, [&] { parse_ddi_xml(xml, "x.xml"); });
  };
  // A billion laughs, and a file of the machine.
  EXPECT_NE(bad(R"(<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><d>&b;</d>)").find("refused"),
            std::string::npos);
  EXPECT_NE(bad(R"(<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]><d>&a;</d>)").find("refused"),
            std::string::npos);
  EXPECT_NE(bad("<document>").find("not XML"), std::string::npos);
  EXPECT_NE(bad("").find("not XML"), std::string::npos);
  EXPECT_NE(bad(R"(<s><sentence text="ab"><entity id="a" charOffset="0-2"/></sentence></s>)")
                .find("not inside the sentence"),
            std::string::npos);
  EXPECT_NE(
      bad(R"(<s><sentence text="ab"><pair e1="a" e2="b" ddi="false"/></sentence></s>)").find("no such drug"),
      std::string::npos);
  EXPECT_NE(
      bad(R"(<s><sentence text="ab"><entity id="a" charOffset="0-0"/><pair e1="a" e2="a" ddi="true" type="odd"/></sentence></s>)")
          .find("odd"),
      std::string::npos);
}

TEST_F(Texts, TablesOfOnesOwn) {
  std::vector<std::string> classes;
  const auto csv =
      read_text_table(write("t.csv", "id,text,label\n1,\"a, \"\"b\"\"\nc\",pos\n2,d,neg\n"), classes);
  EXPECT_EQ(classes, (std::vector<std::string>{"neg", "pos"}));
  ASSERT_EQ(csv.size(), 2u);
  EXPECT_EQ(csv[0].text, "a, \"b\"\nc");
  EXPECT_EQ(csv[0].label, 1);
  EXPECT_NE(message_of(65, [&] { read_text_table(write("u.csv", "text,label\nx,nex\n"), classes); })
                .find("did you mean \"neg\""),
            std::string::npos);
  classes.clear();
  const auto pairs = read_text_table(
      write("t.jsonl",
            "{\"sentence1\":\"a\",\"sentence2\":\"b\",\"label\":2}\n\n{\"text\":\"c\",\"label\":0}\n"),
      classes);
  EXPECT_EQ(classes.size(), 3u);
  EXPECT_EQ(pairs[0].second, "b");
  EXPECT_EQ(pairs[0].label, 2);
  classes.clear();
  const auto bad = [&](const char* name, const std::string& text) {
    return message_of(65, [&] { read_text_table(write(name, text), classes); });
  };
  EXPECT_NE(bad("a.tsv", "text\tlabel\nx\n").find("a.tsv:2: 1 columns"), std::string::npos);
  EXPECT_NE(bad("b.csv", "text,label\n\"x,1\n").find("does not end"), std::string::npos);
  EXPECT_NE(bad("c.csv", "text\nx\n").find("no \"label\""), std::string::npos);
  EXPECT_NE(bad("d.csv", "text,label\n").find("no samples"), std::string::npos);
  EXPECT_NE(bad("e.jsonl", "[1]\n").find("an object a line"), std::string::npos);
}

// The corpus's XML against the three-column files that others derived from it: same pairs, same classes, same
// sentences.
TEST(RealTexts, DdiXmlGivesTheThreeColumns) {
  const auto root = real_data() / "ddi2013";
  NEEDS(root / "DDICorpus");
  std::map<std::string, DdiPair> table;
  for (const char* name : {"train.tsv", "dev.tsv", "test.tsv"})
    for (const auto& pair : read_ddi_table(root / name)) table[pair.id] = pair;
  std::size_t compared = 0, same = 0;
  for (const Side side : {Side::kTrain, Side::kTest})
    for (const auto& file : ddi_files(root / "DDICorpus", side))
      for (const auto& pair : parse_ddi_xml(read_file(file), file.string())) {
        const auto found = table.find(pair.id);
        if (found == table.end()) continue;
        ++compared;
        EXPECT_EQ(pair.label, found->second.label) << pair.id;
        same += pair.text == found->second.text;
      }
  EXPECT_EQ(compared, 25296u + 2496u + 5716u);
  EXPECT_EQ(same, compared);
}

TEST(RealTexts, Counts) {
  NEEDS(real_data() / "imdb");
  EXPECT_EQ(read_imdb(real_data() / "imdb" / "aclImdb", Side::kTrain).size(), 2000u);
  EXPECT_EQ(read_imdb(real_data() / "imdb" / "aclImdb", Side::kTest).size(), 1000u);
  const auto rt = real_data() / "rotten_tomatoes" / "rt-polaritydata";
  EXPECT_EQ(read_rotten_tomatoes(rt, Side::kTest).size(), 1066u);
  EXPECT_EQ(read_rotten_tomatoes(rt, Side::kTrain).size(), 2 * 5331u - 1066u);
  EXPECT_EQ(read_ddi(real_data() / "ddi2013", Side::kTrain).size(), 25296u);
  EXPECT_EQ(read_ddi(real_data() / "ddi2013", Side::kTest).size(), 5716u);
}

}  // namespace
}  // namespace expunge::data
