// Which tokenizer a Hugging Face folder holds.
#include <algorithm>
#include <cctype>

#include "core/error.hpp"
#include "core/files.hpp"
#include "data/tokenizers/parts.hpp"
#include "data/tokenizers/sentence_piece_file.hpp"
#include "data/tokenizers/tokenizer_json.hpp"
#include "data/tokenizers/vocabulary_file.hpp"

namespace expunge::data {
namespace {

using nlohmann::json;

// The small files beside a vocabulary; absent ones are empty.
struct Folder {
  fs::path path;
  json config, tokenizer_config, special_tokens, added_tokens;
  std::string family;  // the tokenizer's class and the model's type, in lower case

  Folder(const fs::path& folder, const std::string& model_type) : path(folder) {
    const auto load = [&](const char* name) {
      return fs::exists(path / name) ? read_json(path / name) : json::object();
    };
    config = load("config.json");
    tokenizer_config = load("tokenizer_config.json");
    special_tokens = load("special_tokens_map.json");
    added_tokens = load("added_tokens.json");
    for (const json* file : {&config, &tokenizer_config, &special_tokens, &added_tokens})
      if (!file->is_object())
        throw DataError::corrupt(fmt::format("{}: a settings file is no JSON object", path.string()));
    family = text(tokenizer_config, "tokenizer_class") + " " +
             (model_type.empty() ? text(config, "model_type") : model_type);
    std::transform(family.begin(), family.end(), family.begin(),
                   [](unsigned char c) { return std::tolower(c); });
  }
  bool is(const char* name) const { return family.find(name) != std::string::npos; }
  bool has(const char* name) const { return fs::exists(path / name); }
  static std::string text(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : "";
  }
  bool flag(const char* key, bool fallback) const {
    const auto found = tokenizer_config.find(key);
    return found != tokenizer_config.end() && found->is_boolean() ? found->get<bool>() : fallback;
  }
  // A special token's text: a string or an object with "content"; "" when none is told.
  std::string special(const char* key) const {
    for (const json* file : {&tokenizer_config, &special_tokens}) {
      const auto found = file->find(key);
      if (found == file->end()) continue;
      if (found->is_string()) return found->get<std::string>();
      if (found->is_object()) return text(*found, "content");
    }
    return "";
  }

  std::vector<AddedToken> added() const {
    std::vector<AddedToken> out;
    const auto id_of = [&](const json& id) {
      if (!id.is_number_unsigned() || id.get<std::uint64_t>() > static_cast<std::uint64_t>(kLargestId))
        throw DataError::corrupt(fmt::format("{}: an added token has the id {}", path.string(), id.dump()));
      return id.get<std::int32_t>();
    };
    for (const auto& [token, id] : added_tokens.items())
      out.push_back({.text = token, .id = id_of(id), .special = false, .normalized = true});
    const auto decoder = tokenizer_config.value("added_tokens_decoder", json::object());
    for (const auto& [id, token] : decoder.items()) {
      const auto flag = [&](const char* key, bool fallback) { return token.value(key, fallback); };
      if (!token.is_object() || text(token, "content").empty()) continue;
      const bool special = flag("special", false);
      AddedToken entry{.text = text(token, "content"),
                       .id = id_of(json::parse(id, nullptr, false)),
                       .special = special,
                       .normalized = flag("normalized", !special),
                       .strip_left = flag("lstrip", false),
                       .strip_right = flag("rstrip", false),
                       .single_word = flag("single_word", false)};
      std::erase_if(out, [&](const auto& other) { return other.id == entry.id; });
      out.push_back(std::move(entry));
    }
    return out;
  }
};

SentencePieceFamily family_of(const Folder& folder, const fs::path& file) {
  if (folder.is("albert") && !folder.is("roberta")) return SentencePieceFamily::kAlbert;
  if (folder.is("deberta")) return SentencePieceFamily::kDebertaV2;
  if (folder.is("llama")) return SentencePieceFamily::kLlama;
  if (folder.is("t5")) return SentencePieceFamily::kT5;
  const auto model = parse_sentence_piece(read_file(file), file.string());
  if (model.algorithm == SentencePieceFile::Algorithm::kBpe) return SentencePieceFamily::kLlama;
  if (find_token(model.pieces, "[CLS]") < 0) return SentencePieceFamily::kT5;
  return find_token(model.pieces, "[PAD]") < 0 ? SentencePieceFamily::kAlbert
                                               : SentencePieceFamily::kDebertaV2;
}

std::shared_ptr<const Tokenizer> from_files(const Folder& folder) {
  if (folder.has("vocab.txt")) {
    WordPieceOptions options;
    options.lower = folder.flag("do_lower_case", true);
    options.accents = folder.tokenizer_config.contains("strip_accents") &&
                              folder.tokenizer_config["strip_accents"].is_boolean()
                          ? static_cast<int>(folder.flag("strip_accents", true))
                          : -1;
    options.ideographs = folder.flag("tokenize_chinese_chars", true);
    const auto set = [&](const char* key, std::string& value) {
      if (const auto token = folder.special(key); !token.empty()) value = token;
    };
    set("unk_token", options.unknown);
    set("sep_token", options.separator);
    set("pad_token", options.pad);
    set("cls_token", options.cls);
    set("mask_token", options.mask);
    return read_word_piece(folder.path / "vocab.txt", options);
  }
  if (folder.has("vocab.json") && folder.has("merges.txt")) {
    BytePairOptions options{.prefix_space = folder.flag("add_prefix_space", false), .added = folder.added()};
    options.family = folder.is("clip")      ? BpeFamily::kClip
                     : folder.is("roberta") ? BpeFamily::kRoberta
                                            : BpeFamily::kGpt2;
    return read_byte_pairs(folder.path / "vocab.json", folder.path / "merges.txt", options);
  }
  for (const char* name : {"spiece.model", "spm.model", "tokenizer.model", "sentencepiece.bpe.model"})
    if (folder.has(name)) {
      const auto family = family_of(folder, folder.path / name);
      return read_sentence_piece(
          folder.path / name, {.family = family,
                               .lower = folder.flag("do_lower_case", family == SentencePieceFamily::kAlbert),
                               .keep_accents = folder.flag("keep_accents", false),
                               .punctuation = folder.flag("split_by_punct", false),
                               .extra_ids = std::clamp<std::int64_t>(
                                   folder.tokenizer_config.value("extra_ids", std::int64_t{100}), 0, 10000),
                               .added = folder.added()});
    }
  throw DataError::missing(
      fmt::format("{}: no tokenizer (tokenizer.json, vocab.txt, vocab.json with merges.txt, spiece.model, "
                  "spm.model or tokenizer.model)",
                  folder.path.string()));
}

std::shared_ptr<const Tokenizer> read_folder(const fs::path& path, const std::string& model_type) {
  const Folder folder(path, model_type);
  TokenizerParts parts = folder.has("tokenizer.json") ? parts_of_json(read_json(path / "tokenizer.json"),
                                                                      (path / "tokenizer.json").string())
                                                      : from_files(folder)->parts();
  const auto set = [&](const char* key, std::int32_t& id) {
    const auto text = folder.special(key);
    if (text.empty()) return;
    for (const auto& token : parts.added)
      if (token.text == text) id = token.id;
    if (const auto found = find_token(parts.vocabulary, text); found >= 0) id = found;
  };
  set("pad_token", parts.pad);
  set("unk_token", parts.unknown);
  set("bos_token", parts.begin);
  set("cls_token", parts.begin);
  set("eos_token", parts.end);
  set("sep_token", parts.separator);
  set("mask_token", parts.mask);
  const auto most = folder.tokenizer_config.find("model_max_length");
  if (most != folder.tokenizer_config.end() && most->is_number() && most->get<double>() < 1e9)
    parts.longest = most->get<std::int64_t>();
  return std::make_shared<Tokenizer>(std::move(parts));
}

}  // namespace

std::shared_ptr<const Tokenizer> read_tokenizer(const fs::path& path, const std::string& model_type) {
  try {
    return read_folder(path, model_type);
  } catch (const json::exception& error) {  // a setting of another type than it has elsewhere
    throw DataError::corrupt(fmt::format("{}: the tokenizer's settings: {}", path.string(), error.what()));
  }
}

}  // namespace expunge::data
