// Tokenizers of the families that come as a SentencePiece model: ALBERT, DeBERTa-v2 and -v3, T5, LLaMA. What
// surrounds the model is that of their published tokenizer.json files.
#include "core/error.hpp"
#include "core/files.hpp"
#include "data/tokenizers/bpe.hpp"
#include "data/tokenizers/parts.hpp"
#include "data/tokenizers/sentence_piece_file.hpp"
#include "data/tokenizers/tokenizer.hpp"
#include "data/tokenizers/unigram.hpp"

namespace expunge::data {
namespace {

using Kind = NormalizerStep::Kind;
constexpr const char* kMetaspace = "\xE2\x96\x81";

// ALBERT scores pieces such as "2," so low that they are cut in two.
bool digit_and_comma(const std::string& piece) {
  return piece.size() >= 2 && piece.back() == ',' && piece[piece.size() - 2] >= '0' &&
         piece[piece.size() - 2] <= '9';
}

void add_charsmap(const SentencePieceFile& model, const std::string& place, Normalizer& steps) {
  if (!model.charsmap.empty())
    steps.push_back(
        {.kind = Kind::kPrecompiled, .charsmap = std::make_shared<Charsmap>(model.charsmap, place)});
}

PreTokenizer words_with_meta(bool between_white, bool punctuation) {
  return {.kind = PreTokenizer::Kind::kMetaspace, .between_white = between_white, .punctuation = punctuation};
}

std::int32_t unknown_of(const SentencePieceFile& model) {
  for (std::size_t id = 0; id < model.types.size(); ++id)
    if (model.types[id] == SentencePieceFile::Type::kUnknown) return static_cast<std::int32_t>(id);
  return -1;
}

void albert(const SentencePieceFile& model, const SentencePieceOptions& options, const std::string& place,
            TokenizerParts& parts) {
  const auto need = [&](const char* token) { return require_token(parts.vocabulary, token, place); };
  parts.begin = need("[CLS]");
  parts.separator = parts.end = need("[SEP]");
  parts.pad = need("<pad>");
  parts.mask = find_token(parts.vocabulary, "[MASK]");
  for (const auto id : {parts.begin, parts.end, parts.pad, parts.unknown}) add_special(parts, id);
  if (parts.mask >= 0) add_special(parts, parts.mask).strip_left = true;
  surround(parts, parts.begin, parts.end, false);
  auto& steps = parts.normalizer;
  steps = {{.kind = Kind::kReplace, .from = "``", .to = "\""},
           {.kind = Kind::kReplace, .from = "''", .to = "\""}};
  if (!options.keep_accents) {
    steps.push_back({.kind = Kind::kNfkd});
    steps.push_back({.kind = Kind::kStripAccents});
  }
  if (options.lower) steps.push_back({.kind = Kind::kLowercase});
  add_charsmap(model, place, steps);
  steps.push_back({.kind = Kind::kSpaceRuns, .to = " "});
  parts.pre_tokenizer = words_with_meta(true, false);
}

void deberta(const SentencePieceFile& model, const SentencePieceOptions& options, const std::string& place,
             TokenizerParts& parts) {
  const auto need = [&](const char* token) { return require_token(parts.vocabulary, token, place); };
  parts.begin = need("[CLS]");
  parts.separator = parts.end = need("[SEP]");
  parts.pad = need("[PAD]");
  parts.mask = find_token(parts.vocabulary, "[MASK]");
  if (parts.mask < 0) {  // behind the model's own pieces
    parts.mask = static_cast<std::int32_t>(parts.vocabulary.size());
    parts.vocabulary.emplace_back("[MASK]");
  }
  for (const auto id : {parts.begin, parts.end, parts.pad, parts.unknown, parts.mask}) add_special(parts, id);
  surround(parts, parts.begin, parts.end, false);
  if (options.lower) parts.normalizer.push_back({.kind = Kind::kLowercase});
  parts.normalizer.push_back({.kind = Kind::kStrip});
  add_charsmap(model, place, parts.normalizer);
  parts.normalizer.push_back({.kind = Kind::kSpaceRuns, .to = " "});
  parts.pre_tokenizer = words_with_meta(false, options.punctuation);
}

void t5(const SentencePieceFile& model, const SentencePieceOptions& options, const std::string& place,
        TokenizerParts& parts) {
  parts.pad = require_token(parts.vocabulary, "<pad>", place);
  parts.end = require_token(parts.vocabulary, "</s>", place);
  for (const auto id : {parts.pad, parts.end, parts.unknown}) add_special(parts, id);
  const auto pieces = static_cast<std::int32_t>(parts.vocabulary.size());
  for (std::int64_t i = 0; i < options.extra_ids; ++i) {  // descending
    const auto id = pieces + static_cast<std::int32_t>(i);
    parts.vocabulary.push_back(fmt::format("<extra_id_{}>", options.extra_ids - 1 - i));
    add_special(parts, id);
  }
  surround(parts, -1, parts.end, false);
  for (auto& item : parts.pair) item.type = 0;
  add_charsmap(model, place, parts.normalizer);
  parts.pre_tokenizer = words_with_meta(true, false);
}

void llama(const SentencePieceFile& model, const std::string& place, TokenizerParts& parts) {
  parts.begin = require_token(parts.vocabulary, "<s>", place);
  parts.end = require_token(parts.vocabulary, "</s>", place);
  for (const auto id : {parts.begin, parts.end, parts.unknown}) add_special(parts, id);
  using Item = TemplateItem::Kind;
  parts.single = {{Item::kSpecial, parts.begin, 0}, {Item::kFirst, -1, 0}};
  parts.pair = {{Item::kSpecial, parts.begin, 0},
                {Item::kFirst, -1, 0},
                {Item::kSpecial, parts.begin, 1},
                {Item::kSecond, -1, 1}};
  if (model.dummy_prefix) parts.normalizer.push_back({.kind = Kind::kPrepend, .to = kMetaspace});
  parts.normalizer.push_back({.kind = Kind::kReplace, .from = " ", .to = kMetaspace});
}

std::shared_ptr<const PieceModel> model_of(const SentencePieceFile& file, bool split_numbers,
                                           std::int32_t unknown, const std::string& place) {
  using Algorithm = SentencePieceFile::Algorithm;
  if (file.algorithm == Algorithm::kUnigram) {
    auto scores = file.scores;
    for (std::size_t i = 0; split_numbers && i < scores.size(); ++i)
      if (digit_and_comma(file.pieces[i])) scores[i] -= 100;
    return std::make_shared<Unigram>(file.pieces, std::move(scores), unknown, file.byte_fallback);
  }
  if (file.algorithm != Algorithm::kBpe)
    throw DataError::corrupt(
        fmt::format("{}: SentencePiece models of whole words or characters are not supported", place));
  std::vector<double> ranks;
  for (const double score : file.scores) ranks.push_back(-score);
  return std::make_shared<Bpe>(
      file.pieces, merges_of_ranks(file.pieces, ranks),
      BpeOptions{
          .bytes = false, .byte_fallback = file.byte_fallback, .fuse_unknown = true, .unknown = unknown});
}

}  // namespace

std::shared_ptr<const Tokenizer> read_sentence_piece(const fs::path& path,
                                                     const SentencePieceOptions& options) {
  const std::string place = path.string();
  const SentencePieceFile file = parse_sentence_piece(read_file(path), place);
  TokenizerParts parts;
  parts.vocabulary = file.pieces;
  parts.unknown = unknown_of(file);
  if (parts.unknown < 0) throw DataError::corrupt(fmt::format("{}: no piece for what is unknown", place));
  parts.decoder = {.kind = Decoder::Kind::kMetaspace, .byte_fallback = file.byte_fallback};
  switch (options.family) {
    case SentencePieceFamily::kAlbert:
      albert(file, options, place, parts);
      break;
    case SentencePieceFamily::kDebertaV2:
      deberta(file, options, place, parts);
      break;
    case SentencePieceFamily::kT5:
      t5(file, options, place, parts);
      break;
    case SentencePieceFamily::kLlama:
      llama(file, place, parts);
      break;
  }
  for (const auto& token : options.added) parts.added.push_back(token);
  parts.model = model_of(file, options.family == SentencePieceFamily::kAlbert, parts.unknown, place);
  return std::make_shared<Tokenizer>(std::move(parts));
}

}  // namespace expunge::data
