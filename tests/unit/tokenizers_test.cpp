// Tokenizers against the outputs of the `tokenizers` package on published vocabularies (the golden folder),
// and by hand on vocabularies of a few pieces.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/files.hpp"
#include "data/tokenizers/bpe.hpp"
#include "data/tokenizers/tokenizer.hpp"
#include "data/tokenizers/unicode.hpp"
#include "data/tokenizers/unigram.hpp"
#include "data/tokenizers/vocabulary_file.hpp"
#include "data/tokenizers/word_piece.hpp"
#include "tests/unit/data_fixture.hpp"

namespace expunge::data {
namespace {

using nlohmann::json;
using Ids = std::vector<std::int32_t>;
using Shared = std::shared_ptr<const Tokenizer>;

fs::path golden_folder() {
  for (const char* name : {"EXPUNGE_GOLDEN_DIR", "EXPUNGE_GOLDEN"})
    if (const char* value = std::getenv(name)) return value;
  return EXPUNGE_SOURCE_DIR "/../shared/golden";
}
fs::path published() {
  if (const char* value = std::getenv("EXPUNGE_TOKENIZERS")) return value;
  return golden_folder() / ".." / "data" / "tokenizers";
}

Ids cut(const Tokenizer& tokenizer, std::string_view text) {
  Ids out;
  tokenizer.cut(text, out);
  return out;
}

Ids padded(Ids ids, std::size_t length, std::int32_t pad) {
  ids.resize(std::max(ids.size(), length), pad);
  return ids;
}

// Everything that tokenizers.json says about one tokenizer.
void expect_golden(const Tokenizer& tokenizer, const std::string& name) {
  const json block = read_json(golden_folder() / "tokenizers.json").at(name);
  for (const auto& entry : block.at("strings")) {
    const auto text = entry.at("text").get<std::string>();
    SCOPED_TRACE(entry.at("text").dump());
    const auto plain = cut(tokenizer, text);
    EXPECT_EQ(plain, entry.at("ids_plain").get<Ids>());
    EXPECT_EQ(tokenizer.encode(text).ids, entry.at("ids").get<Ids>());
    EXPECT_EQ(tokenizer.decode(plain, false), entry.at("decoded").get<std::string>());
    if (!entry.contains("padded")) continue;
    const auto expected = entry.at("padded").get<Ids>();
    const auto encoding = tokenizer.encode(text, static_cast<std::int64_t>(expected.size()));
    EXPECT_EQ(padded(encoding.ids, expected.size(), tokenizer.parts().pad), expected);
    Ids mask(encoding.ids.size(), 1);
    EXPECT_EQ(padded(mask, expected.size(), 0), entry.at("padded_mask").get<Ids>());
  }
  for (const auto& entry : block.value("pairs", json::array())) {
    SCOPED_TRACE(entry.dump());
    const auto first = entry.at("first").get<std::string>(), second = entry.at("second").get<std::string>();
    const auto whole = tokenizer.encode(first, second), short_one = tokenizer.encode(first, second, 12);
    EXPECT_EQ(whole.ids, entry.at("ids").get<Ids>());
    EXPECT_EQ(Ids(whole.types.begin(), whole.types.end()), entry.at("token_type_ids").get<Ids>());
    EXPECT_EQ(padded(short_one.ids, 12, tokenizer.parts().pad), entry.at("max12_ids").get<Ids>());
    EXPECT_EQ(padded(Ids(short_one.types.begin(), short_one.types.end()), 12, 0),
              entry.at("max12_types").get<Ids>());
    EXPECT_EQ(padded(Ids(short_one.ids.size(), 1), 12, 0), entry.at("max12_mask").get<Ids>());
  }
  EXPECT_EQ(tokenizer.size(), block.at("vocab_size").get<std::int64_t>());
  for (const auto& [role, token] : block.at("special").items())
    EXPECT_EQ(tokenizer.find(token.at(0).get<std::string>()), token.at(1).get<std::int32_t>()) << role;
}

class GoldenTokenizers : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(golden_folder() / "tokenizers.json") || !fs::exists(published()))
      GTEST_SKIP() << "no " << (golden_folder() / "tokenizers.json").string() << " with "
                   << published().string()
                   << "; set EXPUNGE_GOLDEN_DIR and EXPUNGE_TOKENIZERS to the reference values and the "
                      "published vocabularies";
  }
};

TEST_F(GoldenTokenizers, BertUncased) {
  expect_golden(*read_word_piece(published() / "bert-base-uncased" / "vocab.txt"), "bert_uncased");
}
TEST_F(GoldenTokenizers, BertCased) {
  expect_golden(*read_word_piece(published() / "bert-base-uncased" / "vocab.txt", {.lower = false}),
                "bert_cased");
}
TEST_F(GoldenTokenizers, BertKeepingAccents) {
  expect_golden(*read_word_piece(published() / "bert-base-uncased" / "vocab.txt", {.accents = 0}),
                "bert_uncased_keep_accents");
}
TEST_F(GoldenTokenizers, Gpt2) {
  const auto folder = published() / "gpt2";
  expect_golden(*read_byte_pairs(folder / "vocab.json", folder / "merges.txt"), "gpt2");
}
TEST_F(GoldenTokenizers, Gpt2WithPrefixSpace) {
  const auto folder = published() / "gpt2";
  expect_golden(*read_byte_pairs(folder / "vocab.json", folder / "merges.txt", {.prefix_space = true}),
                "gpt2_prefix_space");
}
TEST_F(GoldenTokenizers, Clip) {
  expect_golden(*read_clip_merges(published() / "clip" / "bpe_simple_vocab_16e6.txt.gz"), "clip");
}
TEST_F(GoldenTokenizers, Whisper) {
  using Kind = TemplateItem::Kind;
  const std::vector<AddedToken> added{{.text = "<|endoftext|>", .id = 50257},
                                      {.text = "<|startoftranscript|>", .id = 50258},
                                      {.text = "<|notimestamps|>", .id = 50363},
                                      {.text = "<|30.00|>", .id = 51864}};
  const auto tokenizer = read_tiktoken(published() / "whisper" / "multilingual.tiktoken", added,
                                       {{Kind::kSpecial, 50258, 0},
                                        {Kind::kSpecial, 50363, 0},
                                        {Kind::kFirst, -1, 0},
                                        {Kind::kSpecial, 50257, 0}});
  expect_golden(*tokenizer, "whisper_multilingual");
}
TEST_F(GoldenTokenizers, Albert) {
  expect_golden(*read_sentence_piece(published() / "albert" / "spiece.model",
                                     {.family = SentencePieceFamily::kAlbert, .lower = true}),
                "albert");
}

TEST_F(GoldenTokenizers, WordPieceCases) {
  const auto cases = read_json(golden_folder() / "wordpiece.json");
  ASSERT_EQ(cases.size(), 24u);
  for (const auto& entry : cases) {
    SCOPED_TRACE(entry.at("text").dump());
    const auto tokenizer =
        read_word_piece(golden_folder() / "wp_vocab.txt", {.lower = entry.at("lower").get<bool>()});
    const auto expected = entry.at("ids").get<Ids>();
    const auto length = static_cast<std::int64_t>(expected.size());
    const auto text = entry.at("text").get<std::string>();
    const auto encoding = entry.contains("pair")
                              ? tokenizer->encode(text, entry.at("pair").get<std::string>(), length)
                              : tokenizer->encode(text, length);
    EXPECT_EQ(padded(encoding.ids, expected.size(), tokenizer->parts().pad), expected);
    EXPECT_EQ(padded(Ids(encoding.ids.size(), 1), expected.size(), 0), entry.at("mask").get<Ids>());
    if (entry.contains("type")) {
      EXPECT_EQ(padded(Ids(encoding.types.begin(), encoding.types.end()), expected.size(), 0),
                entry.at("type").get<Ids>());
    }
  }
}

// --- by hand
// ------------------------------------------------------------------------------------------------------

TEST(Utf8, MendsWhatIsIllFormed) {
  std::string storage;
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(unicode::well_formed("a\xFFz", storage), "a" + bad + "z");
  EXPECT_EQ(unicode::well_formed("\xE4\xB8", storage), bad);                  // cut short: one part
  EXPECT_EQ(unicode::well_formed("\xE0\x80\x80", storage), bad + bad + bad);  // too long a form: each byte
  EXPECT_EQ(unicode::well_formed("\xED\xA0\x80", storage), bad + bad + bad);  // a surrogate
  EXPECT_EQ(unicode::well_formed("\xF0\x9F\x98", storage), bad);
  EXPECT_EQ(unicode::well_formed("\xF4\x90\x80\x80", storage), bad + bad + bad + bad);
  const std::string good = "a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80";
  EXPECT_EQ(unicode::well_formed(good, storage).data(), good.data());  // no copy
}

TEST(Tokenizers, WordPieceTakesTheLongestPiece) {
  const WordPiece model({"[UNK]", "un", "##aff", "##able", "una", "##a"}, 0);
  Ids out;
  model.cut("unaffable", out);
  EXPECT_EQ(out, (Ids{0}));  // greedy: "una" + "##f.." cannot go on
  out.clear();
  model.cut("unable", out);
  EXPECT_EQ(out, (Ids{0}));
  out.clear();
  model.cut("unaaa", out);
  EXPECT_EQ(out, (Ids{4, 5, 5}));
}

TEST(Tokenizers, BytePairsJoinTheLowestRankFirst) {
  // Merges: l+o, lo+w, e+r. "lower" -> low er; "wolo" -> w o lo; with 100 "lo" the queue must agree with the
  // plain search.
  const Vocabulary vocabulary{"l", "o", "w", "e", "r", "lo", "low", "er"};
  const Bpe model(vocabulary, {{0, 1, 5}, {5, 2, 6}, {3, 4, 7}}, {});
  Ids out;
  model.cut("lower", out);
  EXPECT_EQ(out, (Ids{6, 7}));
  out.clear();
  model.cut("wolo", out);
  EXPECT_EQ(out, (Ids{2, 1, 5}));
  std::string many;
  for (int i = 0; i < 100; ++i) many += "lo";
  out.clear();
  model.cut(many, out);
  EXPECT_EQ(out, Ids(100, 5));
}

TEST(Tokenizers, OverlappingPairsJoinFromTheLeft) {
  const Bpe model({"a", "aa"}, {{0, 0, 1}}, {});
  for (const std::size_t length : {5u, 101u}) {  // both ways of joining
    Ids out, expected(length / 2, 1);
    expected.push_back(0);
    model.cut(std::string(length, 'a'), out);
    EXPECT_EQ(out, expected);
  }
}

TEST(Tokenizers, UnigramFindsTheBestSum) {
  // "ab" as one piece scores -3, as a + b -2.5: two pieces win. "c" is unknown: -4 - 10.
  const Unigram model({"<unk>", "a", "b", "ab", "abc"}, {0, -1, -1.5, -3, -20}, 0);
  Ids out;
  model.cut("ab", out);
  EXPECT_EQ(out, (Ids{1, 2}));
  out.clear();
  model.cut("abc", out);  // -20 as a whole, -2.5 - 30 = -32.5 with an unknown c
  EXPECT_EQ(out, (Ids{4}));
  out.clear();
  model.cut("axyb", out);  // neighbouring unknown characters are one piece
  EXPECT_EQ(out, (Ids{1, 0, 2}));
}

class TokenizerFiles : public DataTest {};

TEST_F(TokenizerFiles, AFolderOfVocabTxtFollowsItsSettings) {
  write("m/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nHi\nhi\n");
  EXPECT_EQ(read_tokenizer(folder_ / "m")->encode("Hi").ids, (Ids{2, 6, 3}));
  write("m/tokenizer_config.json", R"({"do_lower_case": false, "model_max_length": 512})");
  const auto cased = read_tokenizer(folder_ / "m");
  EXPECT_EQ(cased->encode("Hi").ids, (Ids{2, 5, 3}));
  EXPECT_EQ(cased->parts().longest, 512);
  EXPECT_EQ(cased->parts().pad, 0);
}

TEST_F(TokenizerFiles, RobertaPutsTwoSeparatorsBetweenTexts) {
  write("r/vocab.json", R"({"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"a":4,"b":5,"ab":6,"<mask>":7,"\u0120":8})");
  write("r/merges.txt", "#version: 0.2\na b\n");
  write("r/config.json", R"({"model_type": "roberta"})");
  const auto tokenizer = read_tokenizer(folder_ / "r");
  const auto pair = tokenizer->encode("ab", "b");
  EXPECT_EQ(pair.ids, (Ids{0, 6, 2, 2, 5, 2}));
  EXPECT_EQ(pair.types, (std::vector<std::uint8_t>(6, 0)));
  EXPECT_EQ(tokenizer->encode("a <mask> b").ids,
            (Ids{0, 4, 7, 8, 5, 2}));  // <mask> takes the space before it
}

TEST_F(TokenizerFiles, TokenizerJsonOfThreeModels) {
  const auto word_piece = write("w.json", R"({"normalizer":{"type":"BertNormalizer","lowercase":true},
    "pre_tokenizer":{"type":"BertPreTokenizer"},
    "added_tokens":[{"id":1,"content":"[CLS]","special":true,"normalized":false},{"id":2,"content":"[SEP]","special":true,"normalized":false}],
    "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}}],
      "pair":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}},{"Sequence":{"id":"B","type_id":1}},{"SpecialToken":{"id":"[SEP]","type_id":1}}],
      "special_tokens":{"[CLS]":{"id":"[CLS]","ids":[1],"tokens":["[CLS]"]},"[SEP]":{"id":"[SEP]","ids":[2],"tokens":["[SEP]"]}}},
    "model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[UNK]":0,"[CLS]":1,"[SEP]":2,"go":3,"##ing":4,"!":5}}})");
  const auto first = read_tokenizer_json(word_piece);
  EXPECT_EQ(first->encode("Going!").ids, (Ids{1, 3, 4, 5, 2}));
  EXPECT_EQ(first->encode("go", "go").types, (std::vector<std::uint8_t>{0, 0, 0, 1, 1}));
  EXPECT_EQ(first->decode({3, 4, 5}), "going!");

  const auto bpe =
      write("b.json", R"({"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},
    "model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"\u0120":3,"\u0120ab":4},"merges":["a b",["\u0120","ab"]]}})");
  EXPECT_EQ(cut(*read_tokenizer_json(bpe), "ab ab"), (Ids{2, 4}));

  const auto unigram = write(
      "u.json",
      R"({"normalizer":{"type":"Sequence","normalizers":[{"type":"Lowercase"},{"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "}]},
    "pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Metaspace","replacement":"\u2581","add_prefix_space":true}]},
    "model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["\u2581a",-1],["b",-2],["\u2581",-3]]}})");
  const auto third = read_tokenizer_json(unigram);
  EXPECT_EQ(cut(*third, "AB  b"), (Ids{1, 2, 3, 2}));
  EXPECT_EQ(third->decode({1, 2, 3, 2}), "ab b");
}

TEST_F(TokenizerFiles, BadFilesAreTold) {
  write("n/tokenizer.json", R"({"model":{"type":"WordLevel","vocab":{}}})");
  EXPECT_NE(message_of(65, [&] { read_tokenizer(folder_ / "n"); }).find("WordLevel"), std::string::npos);
  EXPECT_NE(message_of(66, [&] { read_tokenizer(folder_ / "absent"); }).find("no tokenizer"),
            std::string::npos);
  const auto merges = write("b/merges.txt", "a z\n"), vocabulary = write("b/vocab.json", R"({"a":0})");
  EXPECT_NE(
      message_of(65, [&] { read_byte_pairs(vocabulary, merges); }).find("\"z\" is not in the vocabulary"),
      std::string::npos);
  const auto huge = write("h.json", R"({"a":4000000000})");
  EXPECT_NE(message_of(65, [&] { read_byte_pairs(huge, merges); }).find("4000000000"), std::string::npos);
  const auto model = write("s.model", "\x0A\xFF\xFF\xFF\x7F");
  EXPECT_NE(message_of(65, [&] { read_sentence_piece(model, {}); }).find("cut short"), std::string::npos);
  const auto no_special = write("v.txt", "a\nb\n");
  EXPECT_NE(message_of(65, [&] { read_word_piece(no_special); }).find("[UNK]"), std::string::npos);
}

TEST_F(TokenizerFiles, EmptyTextsAndTooFewTokens) {
  const auto file = write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n");
  const auto tokenizer = read_word_piece(file);
  EXPECT_EQ(tokenizer->encode("").ids, (Ids{2, 3}));
  EXPECT_EQ(tokenizer->encode("\xFF\xFE").ids, (Ids{2, 3}));  // nothing but U+FFFD, which BERT drops
  EXPECT_EQ(tokenizer->encode("a a a", 3).ids, (Ids{2, 5, 3}));
  EXPECT_EQ(tokenizer->encode("a", 2).ids, (Ids{2, 3}));
  message_of(64, [&] { tokenizer->encode("a", 1); });
}

}  // namespace
}  // namespace expunge::data
