// Tokenizers of the families that come as a vocabulary: BERT's, GPT-2's, RoBERTa's and CLIP's.
#include <zlib.h>

#include <cstdlib>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"
#include "data/tokenizers/parts.hpp"
#include "data/tokenizers/tokenizer.hpp"
#include "data/tokenizers/vocabulary_file.hpp"
#include "data/tokenizers/word_piece.hpp"

namespace expunge::data {
namespace {

constexpr const char* kBegin = "<|startoftext|>";
constexpr const char* kEnd = "<|endoftext|>";

// CLIP's words: NFC, single spaces, lower case.
Normalizer clip_normalizer() {
  using Kind = NormalizerStep::Kind;
  return {{.kind = Kind::kNfc}, {.kind = Kind::kWhiteRuns, .to = " "}, {.kind = Kind::kLowercase}};
}

std::shared_ptr<const Tokenizer> make_byte_pairs(TokenizerParts parts, const std::vector<Bpe::Merge>& merges,
                                                 const BytePairOptions& options, const std::string& place) {
  BpeOptions bpe;
  parts.decoder = {.kind = Decoder::Kind::kByteLevel};
  parts.pre_tokenizer = {.kind = PreTokenizer::Kind::kByteLevel, .prefix_space = options.prefix_space};
  const auto need = [&](const char* token) { return require_token(parts.vocabulary, token, place); };
  if (options.family == BpeFamily::kRoberta) {
    parts.begin = need("<s>");
    parts.pad = need("<pad>");
    parts.end = parts.separator = need("</s>");
    parts.unknown = need("<unk>");
    parts.mask = find_token(parts.vocabulary, "<mask>");
    for (const auto id : {parts.begin, parts.pad, parts.end, parts.unknown}) add_special(parts, id);
    if (parts.mask >= 0) add_special(parts, parts.mask).strip_left = true;
    surround(parts, parts.begin, parts.end, true);
  } else if (options.family == BpeFamily::kClip) {
    parts.begin = need(kBegin);
    parts.end = parts.unknown = parts.pad = need(kEnd);
    add_special(parts, parts.begin);
    add_special(parts, parts.end);
    surround(parts, parts.begin, parts.end, true);
    parts.normalizer = clip_normalizer();
    parts.pre_tokenizer = {.kind = PreTokenizer::Kind::kClip};
    parts.decoder = {.kind = Decoder::Kind::kWordEnd, .mark = "</w>"};
    bpe.word_end = "</w>";
    bpe.unknown = parts.unknown;
    parts.longest = 77;
  } else if (const auto id = find_token(parts.vocabulary, kEnd); id >= 0) {
    parts.begin = parts.end = parts.unknown = id;
    add_special(parts, id);
  }
  for (const auto& token : options.added) parts.added.push_back(token);
  parts.model = std::make_shared<Bpe>(parts.vocabulary, merges, bpe);
  return std::make_shared<Tokenizer>(std::move(parts));
}

std::string read_gzip(const fs::path& file) {
  if (!fs::exists(file)) throw DataError::missing(fmt::format("{}: no such file", file.string()));
  gzFile in = gzopen(file.c_str(), "rb");
  if (!in) throw DataError::missing(fmt::format("{}: cannot be opened", file.string()));
  std::string out, chunk(1 << 16, '\0');
  int got = 0;
  while ((got = gzread(in, chunk.data(), static_cast<unsigned>(chunk.size()))) > 0 &&
         out.size() < (std::size_t{1} << 30))
    out.append(chunk, 0, static_cast<std::size_t>(got));
  const bool sound = gzclose(in) == Z_OK && got == 0;
  if (!sound) throw DataError::corrupt(fmt::format("{}: damaged gzip data", file.string()));
  return out;
}

// A line "BASE64 RANK" of a *.tiktoken file.
std::string base64_bytes(std::string_view text) {
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    int value = -1;
    if (c >= 'A' && c <= 'Z') value = c - 'A';
    if (c >= 'a' && c <= 'z') value = c - 'a' + 26;
    if (c >= '0' && c <= '9') value = c - '0' + 52;
    if (c == '+') value = 62;
    if (c == '/') value = 63;
    if (value < 0) break;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    if ((count += 6) >= 8) out += static_cast<char>(bits >> (count -= 8) & 0xFF);
  }
  return out;
}

}  // namespace

std::shared_ptr<const Tokenizer> read_word_piece(const fs::path& vocab_txt, const WordPieceOptions& options) {
  TokenizerParts parts;
  parts.vocabulary = read_vocabulary_lines(vocab_txt);
  const auto need = [&](const std::string& token) {
    return require_token(parts.vocabulary, token, vocab_txt.string());
  };
  parts.unknown = need(options.unknown);
  parts.separator = need(options.separator);
  parts.pad = need(options.pad);
  parts.begin = need(options.cls);
  parts.mask = find_token(parts.vocabulary, options.mask);
  parts.end = parts.separator;
  for (const auto id : {parts.unknown, parts.separator, parts.pad, parts.begin, parts.mask})
    if (id >= 0) add_special(parts, id);
  surround(parts, parts.begin, parts.separator, false);
  parts.normalizer = {{.kind = NormalizerStep::Kind::kBert,
                       .ideographs = options.ideographs,
                       .accents = options.accents < 0 ? options.lower : options.accents != 0,
                       .lower = options.lower}};
  parts.pre_tokenizer = {.kind = PreTokenizer::Kind::kBert};
  parts.decoder = {.kind = Decoder::Kind::kWordPiece, .mark = "##"};
  parts.model = std::make_shared<WordPiece>(parts.vocabulary, parts.unknown);
  return std::make_shared<Tokenizer>(std::move(parts));
}

std::shared_ptr<const Tokenizer> read_byte_pairs(const fs::path& vocab_json, const fs::path& merges_txt,
                                                 const BytePairOptions& options) {
  TokenizerParts parts;
  parts.vocabulary = vocabulary_of(read_json(vocab_json), vocab_json.string());
  const auto merges = read_merges(merges_txt, parts.vocabulary);
  return make_byte_pairs(std::move(parts), merges, options, vocab_json.string());
}

std::shared_ptr<const Tokenizer> read_clip_merges(const fs::path& file) {
  constexpr std::size_t kMerges = 49152 - 256 - 2;
  auto lines = split(read_gzip(file), '\n');
  if (lines.size() < kMerges + 1)
    throw DataError::corrupt(
        fmt::format("{}: {} lines, expected a heading and {} merges", file.string(), lines.size(), kMerges));
  TokenizerParts parts;
  // The order of OpenAI's alphabet: printable bytes first.
  const auto& alphabet = byte_alphabet();
  for (const bool printable : {true, false})
    for (std::size_t b = 0; b < 256; ++b)
      if (((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174) == printable)
        parts.vocabulary.push_back(alphabet[b]);
  for (std::size_t i = 0; i < 256; ++i) parts.vocabulary.push_back(parts.vocabulary[i] + "</w>");
  for (std::size_t i = 1; i <= kMerges; ++i) {
    std::string joined;
    for (const char c : lines[i])
      if (c != ' ' && c != '\r') joined += c;
    mend(joined);
    parts.vocabulary.push_back(joined);
  }
  parts.vocabulary.emplace_back(kBegin);
  parts.vocabulary.emplace_back(kEnd);
  MergeReader reader(parts.vocabulary, file.string());
  for (std::size_t i = 1; i <= kMerges; ++i) reader.add_line(lines[i]);
  return make_byte_pairs(std::move(parts), reader.merges, {.family = BpeFamily::kClip}, file.string());
}

std::shared_ptr<const Tokenizer> read_tiktoken(const fs::path& file, const std::vector<AddedToken>& added,
                                               const std::vector<TemplateItem>& single) {
  TokenizerParts parts;
  for (const auto& line : split(read_file(file), '\n')) {
    if (line.empty()) continue;
    const std::size_t space = line.find(' ');
    const std::string bytes = base64_bytes(std::string_view(line).substr(0, space));
    const long rank = space == std::string::npos ? -1 : std::strtol(line.c_str() + space, nullptr, 10);
    if ((bytes.empty() && line[0] != '=') || rank != static_cast<long>(parts.vocabulary.size()))
      throw DataError::corrupt(fmt::format("{}:{}: expected a piece in base64 and its rank", file.string(),
                                           parts.vocabulary.size() + 1));
    std::string piece;
    for (const char c : bytes) piece += byte_alphabet()[static_cast<unsigned char>(c)];
    parts.vocabulary.push_back(std::move(piece));
  }
  std::vector<double> ranks(parts.vocabulary.size());
  for (std::size_t i = 0; i < ranks.size(); ++i) ranks[i] = static_cast<double>(i);
  const auto merges = merges_of_ranks(parts.vocabulary, ranks);
  parts.single = single;
  return make_byte_pairs(std::move(parts), merges, {.family = BpeFamily::kGpt2, .added = added},
                         file.string());
}

}  // namespace expunge::data
