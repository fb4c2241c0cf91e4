#include "data/tokenizers/tokenizer_json.hpp"

#include "core/error.hpp"
#include "data/tokenizers/bpe.hpp"
#include "data/tokenizers/parts.hpp"
#include "data/tokenizers/unigram.hpp"
#include "data/tokenizers/vocabulary_file.hpp"
#include "data/tokenizers/word_piece.hpp"

namespace expunge::data {
namespace {

using nlohmann::json;

constexpr const char* kMeta = "\xE2\x96\x81";
constexpr const char* kClipPattern = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";

// A reader of one component; messages say where it stands.
struct Component {
  const json& value;
  std::string place;

  [[noreturn]] void fail(const std::string& what) const {
    throw DataError::corrupt(fmt::format("{}: {}", place, what));
  }
  bool absent() const { return value.is_null(); }
  std::string type() const { return value.is_object() ? text("type", "") : ""; }
  bool has(const char* key) const {
    return value.is_object() && value.contains(key) && !value.at(key).is_null();
  }
  template <class T>
  T get(const char* key, T fallback) const {
    if (!has(key)) return fallback;
    try {
      return value.at(key).get<T>();
    } catch (const json::exception&) {
      fail(fmt::format("{} is {}", key, value.at(key).dump()));
    }
  }
  std::string text(const char* key, const std::string& fallback) const {
    return get<std::string>(key, fallback);
  }
  bool flag(const char* key, bool fallback) const { return get<bool>(key, fallback); }
  Component at(const char* key) const {
    static const json none;
    return {has(key) ? value.at(key) : none, place + ": " + key};
  }
  const json& list(const char* key) const {
    if (!has(key) || !value.at(key).is_array()) fail(fmt::format("no list \"{}\"", key));
    return value.at(key);
  }
};

std::int32_t checked_id(const Component& at, const json& value) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > static_cast<std::uint64_t>(kLargestId))
    at.fail(fmt::format("{} is no token id", value.dump()));
  return value.get<std::int32_t>();
}

// --- normalizer
// -------------------------------------------------------------------------------------------------

std::string decode_base64(const Component& at, const std::string& text) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) at.fail("not base64");
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    if ((count += 6) >= 8) out += static_cast<char>(bits >> (count -= 8) & 0xFF);
  }
  return out;
}

NormalizerStep replace_step(const Component& at) {
  const Component pattern = at.at("pattern");
  const std::string to = at.text("content", "");
  if (pattern.has("String"))
    return {.kind = NormalizerStep::Kind::kReplace, .from = pattern.text("String", ""), .to = to};
  const std::string regex = pattern.text("Regex", "");
  if (regex == " {2,}") return {.kind = NormalizerStep::Kind::kSpaceRuns, .to = to};
  if (regex == "\\s+") return {.kind = NormalizerStep::Kind::kWhiteRuns, .to = to};
  at.fail(fmt::format("the pattern \"{}\" is not supported", regex));
}

void add_normalizer(const Component& at, Normalizer& out) {
  using Kind = NormalizerStep::Kind;
  if (at.absent()) return;
  const std::string type = at.type();
  if (type == "Sequence") {
    for (const auto& part : at.list("normalizers")) add_normalizer({part, at.place}, out);
    return;
  }
  const std::pair<const char*, Kind> plain[] = {{"NFC", Kind::kNfc},
                                                {"NFD", Kind::kNfd},
                                                {"NFKC", Kind::kNfkc},
                                                {"NFKD", Kind::kNfkd},
                                                {"StripAccents", Kind::kStripAccents},
                                                {"Lowercase", Kind::kLowercase}};
  for (const auto& [name, kind] : plain)
    if (type == name) return out.push_back({.kind = kind});
  if (type == "BertNormalizer") {
    const bool lower = at.flag("lowercase", true);
    out.push_back({.kind = Kind::kBert,
                   .clean = at.flag("clean_text", true),
                   .ideographs = at.flag("handle_chinese_chars", true),
                   .accents = at.flag("strip_accents", lower),
                   .lower = lower});
  } else if (type == "Replace") {
    out.push_back(replace_step(at));
  } else if (type == "Strip") {
    out.push_back(
        {.kind = Kind::kStrip, .left = at.flag("strip_left", true), .right = at.flag("strip_right", true)});
  } else if (type == "Prepend") {
    out.push_back({.kind = Kind::kPrepend, .to = at.text("prepend", kMeta)});
  } else if (type == "Precompiled") {
    const std::string blob = at.text("precompiled_charsmap", "");
    if (!blob.empty())
      out.push_back({.kind = Kind::kPrecompiled,
                     .charsmap = std::make_shared<Charsmap>(decode_base64(at, blob), at.place)});
  } else {
    at.fail(fmt::format("the normalizer \"{}\" is not supported", type));
  }
}

// --- pre-tokenizer
// ----------------------------------------------------------------------------------------------

void set_metaspace(const Component& at, PreTokenizer& out) {
  using Prepend = PreTokenizer::Prepend;
  if (at.text("replacement", kMeta) != kMeta) at.fail("a replacement other than U+2581 is not supported");
  out.kind = PreTokenizer::Kind::kMetaspace;
  out.cut = at.flag("split", true);
  const std::string scheme =
      at.text("prepend_scheme", at.flag("add_prefix_space", true) ? "always" : "never");
  if (scheme != "always" && scheme != "first" && scheme != "never")
    at.fail(fmt::format("prepend_scheme \"{}\" is not known", scheme));
  out.prepend = scheme == "always" ? Prepend::kAlways : scheme == "first" ? Prepend::kFirst : Prepend::kNever;
}

// The parts of a sequence one after the other; what they add up to must be one of our kinds.
void add_pre_tokenizer(const Component& at, PreTokenizer& out) {
  using Kind = PreTokenizer::Kind;
  if (at.absent()) return;
  const std::string type = at.type();
  const bool fresh = out.kind == Kind::kWhole;
  if (type == "Sequence") {
    for (const auto& part : at.list("pretokenizers")) add_pre_tokenizer({part, at.place}, out);
  } else if (type == "BertPreTokenizer" && fresh) {
    out.kind = Kind::kBert;
  } else if (type == "WhitespaceSplit" && fresh) {
    out.kind = Kind::kWhite;
  } else if (type == "Punctuation" && (fresh || out.kind == Kind::kWhite) &&
             at.text("behavior", "Isolated") == "Isolated") {
    out.kind = Kind::kBert;
  } else if (type == "Metaspace") {
    if (out.kind == Kind::kByteLevel || out.kind == Kind::kClip)
      at.fail("Metaspace behind a byte level is not supported");
    out.between_white = out.kind != Kind::kWhole;
    out.punctuation = out.kind == Kind::kBert;
    set_metaspace(at, out);
  } else if (type == "ByteLevel" && fresh) {
    if (!at.flag("use_regex", true)) at.fail("a byte level without its pattern is not supported");
    out.kind = Kind::kByteLevel;
    out.prefix_space = at.flag("add_prefix_space", true);
  } else if (type == "ByteLevel" && out.kind == Kind::kClip) {
    if (at.flag("add_prefix_space", true)) at.fail("add_prefix_space behind a pattern is not supported");
  } else if (type == "Split" && fresh && at.at("pattern").text("Regex", "") == kClipPattern) {
    out.kind = Kind::kClip;
  } else {
    at.fail(fmt::format("the pre-tokenizer \"{}\" is not supported here", type));
  }
}

// --- post-processor
// ---------------------------------------------------------------------------------------------

std::int32_t pair_id(const Component& at, const char* key) {
  const json& value = at.has(key) ? at.value.at(key) : json();
  if (!value.is_array() || value.size() != 2) at.fail(fmt::format("{}: expected a token and its id", key));
  return checked_id(at, value[1]);
}

std::vector<TemplateItem> template_items(const Component& at, const char* key) {
  std::vector<TemplateItem> out;
  for (const auto& part : at.list(key)) {
    const Component item{part, at.place + ": " + key};
    const bool special = item.has("SpecialToken");
    const Component inner = item.at(special ? "SpecialToken" : "Sequence");
    const std::string id = inner.text("id", "");
    const auto type = static_cast<std::uint8_t>(inner.get<unsigned>("type_id", 0) & 0xFF);
    if (!special) {
      if (id != "A" && id != "B") item.fail("expected a special token or the sequence A or B");
      out.push_back({id == "A" ? TemplateItem::Kind::kFirst : TemplateItem::Kind::kSecond, -1, type});
      continue;
    }
    const Component tokens = at.at("special_tokens").at(id.c_str());
    for (const auto& token : tokens.list("ids"))
      out.push_back({TemplateItem::Kind::kSpecial, checked_id(tokens, token), type});
  }
  return out;
}

void add_post_processor(const Component& at, TokenizerParts& parts) {
  if (at.absent()) return;
  const std::string type = at.type();
  if (type == "Sequence") {
    for (const auto& part : at.list("processors")) add_post_processor({part, at.place}, parts);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    surround(parts, pair_id(at, "cls"), pair_id(at, "sep"), type == "RobertaProcessing");
  } else if (type == "TemplateProcessing") {
    parts.single = template_items(at, "single");
    parts.pair = template_items(at, "pair");
  } else if (type != "ByteLevel") {
    at.fail(fmt::format("the post-processor \"{}\" is not supported", type));
  }
}

// --- model
// ------------------------------------------------------------------------------------------------------

std::string model_type(const Component& at) {
  if (const auto type = at.type(); !type.empty()) return type;
  if (at.has("merges")) return "BPE";
  return at.has("vocab") && at.value.at("vocab").is_array() ? "Unigram" : "WordPiece";
}

void add_word_piece(const Component& at, TokenizerParts& parts) {
  parts.vocabulary = vocabulary_of(at.value.value("vocab", json()), at.place + ": vocab");
  parts.unknown = require_token(parts.vocabulary, at.text("unk_token", "[UNK]"), at.place);
  const std::string prefix = at.text("continuing_subword_prefix", "##");
  parts.model = std::make_shared<WordPiece>(parts.vocabulary, parts.unknown, prefix,
                                            at.get<std::size_t>("max_input_chars_per_word", 100));
  parts.decoder = {.kind = Decoder::Kind::kWordPiece, .mark = prefix};
}

void add_bpe(const Component& at, TokenizerParts& parts) {
  using Pre = PreTokenizer::Kind;
  if (!at.text("continuing_subword_prefix", "").empty())
    at.fail("continuing_subword_prefix is not supported with BPE");
  parts.vocabulary = vocabulary_of(at.value.value("vocab", json()), at.place + ": vocab");
  MergeReader reader(parts.vocabulary, at.place);
  for (const auto& merge : at.list("merges")) {
    const bool pair = merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
    if (!pair && !merge.is_string()) at.fail(fmt::format("{} is no merge", merge.dump()));
    if (pair)
      reader.add(merge[0].get<std::string>(), merge[1].get<std::string>());
    else
      reader.add_line(merge.get<std::string>());
  }
  BpeOptions options{
      .bytes = parts.pre_tokenizer.kind == Pre::kByteLevel || parts.pre_tokenizer.kind == Pre::kClip,
      .word_end = at.text("end_of_word_suffix", ""),
      .byte_fallback = at.flag("byte_fallback", false),
      .fuse_unknown = at.flag("fuse_unk", false),
      .whole_words = at.flag("ignore_merges", false)};
  if (at.has("unk_token"))
    options.unknown = parts.unknown = require_token(parts.vocabulary, at.text("unk_token", ""), at.place);
  parts.model = std::make_shared<Bpe>(parts.vocabulary, reader.merges, options);
  parts.decoder = {.kind = !options.word_end.empty() ? Decoder::Kind::kWordEnd
                           : options.bytes           ? Decoder::Kind::kByteLevel
                                                     : Decoder::Kind::kMetaspace,
                   .mark = options.word_end,
                   .byte_fallback = options.byte_fallback};
}

void add_unigram(const Component& at, TokenizerParts& parts) {
  std::vector<double> scores;
  for (const auto& entry : at.list("vocab")) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
      at.fail(fmt::format("vocab: entry {} is no piece with its score", scores.size()));
    parts.vocabulary.push_back(entry[0].get<std::string>());
    scores.push_back(entry[1].get<double>());
  }
  if (at.has("unk_id")) parts.unknown = checked_id(at, at.value.at("unk_id"));
  if (parts.unknown >= static_cast<std::int32_t>(scores.size())) at.fail("unk_id is outside the vocabulary");
  parts.decoder = {.kind = Decoder::Kind::kMetaspace, .byte_fallback = at.flag("byte_fallback", false)};
  parts.model = std::make_shared<Unigram>(parts.vocabulary, std::move(scores), parts.unknown,
                                          parts.decoder.byte_fallback);
}

AddedToken added_token(const Component& at) {
  if (!at.has("id") || !at.has("content")) at.fail("an added token without id or content");
  return {.text = at.text("content", ""),
          .id = checked_id(at, at.value.at("id")),
          .special = at.flag("special", false),
          .normalized = at.flag("normalized", true),
          .strip_left = at.flag("lstrip", false),
          .strip_right = at.flag("rstrip", false),
          .single_word = at.flag("single_word", false)};
}

}  // namespace

TokenizerParts parts_of_json(const json& text, const std::string& place) {
  const Component root{text, place};
  if (!text.is_object()) root.fail("not a JSON object");
  TokenizerParts parts;
  add_normalizer(root.at("normalizer"), parts.normalizer);
  add_pre_tokenizer(root.at("pre_tokenizer"), parts.pre_tokenizer);
  const Component model = root.at("model");
  if (!model.value.is_object()) root.fail("no model");
  const std::string type = model_type(model);
  if (type == "WordPiece")
    add_word_piece(model, parts);
  else if (type == "BPE")
    add_bpe(model, parts);
  else if (type == "Unigram")
    add_unigram(model, parts);
  else
    model.fail(fmt::format("the model \"{}\" is not supported", type));
  if (root.has("added_tokens"))
    for (const auto& token : root.list("added_tokens"))
      parts.added.push_back(added_token({token, place + ": added_tokens"}));
  add_post_processor(root.at("post_processor"), parts);
  const Component padding = root.at("padding");
  if (padding.has("pad_id")) parts.pad = checked_id(padding, padding.value.at("pad_id"));
  return parts;
}

std::shared_ptr<const Tokenizer> read_tokenizer_json(const std::filesystem::path& file) {
  return std::make_shared<Tokenizer>(parts_of_json(read_json(file), file.string()));
}

}  // namespace expunge::data
