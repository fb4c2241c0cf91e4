#include "data/text_samples.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/hash.hpp"
#include "data/caption.hpp"
#include "data/tokenizers/tokenizer.hpp"

namespace expunge::data {
namespace {

constexpr const char* kFiles[] = {"tokenizer.json",
                                  "vocab.txt",
                                  "vocab.json",
                                  "merges.txt",
                                  "spiece.model",
                                  "spm.model",
                                  "tokenizer.model",
                                  "sentencepiece.bpe.model",
                                  "tokenizer_config.json",
                                  "special_tokens_map.json",
                                  "added_tokens.json"};
constexpr std::size_t kVocabularies = 8;  // the first of these hold pieces, the others settings

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

std::shared_ptr<const Tokenizer> read_at(const fs::path& path) {
  if (fs::is_directory(path)) return read_tokenizer(path);
  if (path.extension() == ".json") return read_tokenizer_json(path);
  if (path.extension() == ".txt") return read_word_piece(path);
  return read_tokenizer(path.parent_path());
}

}  // namespace

fs::path find_tokenizer(const std::string& name) {
  std::string where =
      fmt::format("no tokenizer \"{}\" (a folder, a vocabulary file, words or bytes) at", name);
  std::vector<fs::path> places{name};
  for (const auto& root : data_roots()) places.push_back(root / "tokenizers" / name);
  for (const auto& place : places) {
    if (is_there(place)) return place;
    where += "\n  " + place.string();
  }
  throw DataError::missing(where);
}

std::vector<fs::path> tokenizer_files(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> out;
  for (const char* name : kFiles)
    if (is_there(path / name)) out.push_back(path / name);
  return out;
}

bool has_tokenizer(const fs::path& folder) {
  return std::any_of(kFiles, kFiles + kVocabularies,
                     [&](const char* name) { return is_there(folder / name); });
}

std::string tokenizer_key(const std::string& name) {
  if (name == kWords || name == kBytes) return name;
  Sha256 hash;
  for (const auto& file : tokenizer_files(find_tokenizer(name))) {
    const MappedFile bytes(file);
    hash.add(fmt::format("{} {}\n", file.filename().string(), bytes.size())).add(bytes.view());
  }
  return hash.hex();
}

std::int64_t vocabulary_of(const std::string& dataset, const std::string& tokenizer) {
  try {
    return TextTokenizer(tokenizer).vocabulary();
  } catch (const DataError& error) {
    throw ConfigError(fmt::format("dataset.{}.tokenizer: {}", dataset, error.what()));
  }
}

TextTokenizer::TextTokenizer(const std::string& name) : words_(name == kWords) {
  if (words_ || name == kBytes) {
    vocabulary_ = words_ ? kWordVocabulary : kByteVocabulary;
    return;
  }
  tokenizer_ = read_at(find_tokenizer(name));
  vocabulary_ = tokenizer_->size();
}

std::vector<std::int32_t> TextTokenizer::pieces(const std::string& text, std::int64_t longest) const {
  if (!words_) {
    const auto bytes = byte_tokens(std::string_view(text).substr(0, static_cast<std::size_t>(longest)));
    return {bytes.begin(), bytes.end()};
  }
  std::vector<std::int32_t> out;
  for (const auto hashed : hash_words(text, longest, kWordVocabulary - kWholeText)) {
    if (hashed == 0) break;  // padding
    out.push_back(static_cast<std::int32_t>(hashed + kWholeText));
  }
  return out;
}

TextSample TextTokenizer::encode(const LabelledText& text, std::int64_t longest) const {
  TextSample out;
  if (tokenizer_) {
    const auto encoding = tokenizer_->encode(text.text, text.second, longest);
    out.tokens = encoding.ids;
    out.prompt = std::find_if(encoding.types.begin(), encoding.types.end(), [](auto t) { return t != 0; }) -
                 encoding.types.begin();
    out.padding = std::max(0, tokenizer_->parts().pad);
    return out;
  }
  const bool two = !text.second.empty();
  const std::int64_t room = longest - (two ? 3 : 2);
  if (room < 1) throw ConfigError(fmt::format("texts of {} tokens: too short for a text at all", longest));
  auto first = pieces(text.text, room),
       second = two ? pieces(text.second, room) : std::vector<std::int32_t>{};
  while (std::ssize(first) + std::ssize(second) > room)
    (first.size() > second.size() ? first : second).pop_back();
  out.tokens.push_back(kWholeText);
  out.tokens.insert(out.tokens.end(), first.begin(), first.end());
  out.tokens.push_back(kEndOfText);
  out.prompt = std::ssize(out.tokens);
  if (two) {
    out.tokens.insert(out.tokens.end(), second.begin(), second.end());
    out.tokens.push_back(kEndOfText);
  }
  return out;
}

Info text_info(Info info) {
  info.height = 1;
  if (info.tokens == 0) info.tokens = 128;
  info.width = info.tokens;
  info.vocabulary = kWordVocabulary;
  info.tokenizer = kWords;
  return info;
}

Raw text_samples(const std::vector<LabelledText>& texts, const Info& info) {
  const TextTokenizer tokenizer(info.tokenizer);
  EXPUNGE_CHECK(tokenizer.vocabulary() == info.vocabulary, "{} was described with {} tokens, not {}",
                info.name, info.vocabulary, tokenizer.vocabulary());
  Raw out;
  out.pixels.reserve(texts.size() * static_cast<std::size_t>(sample_bytes(info)));
  for (const auto& text : texts) {
    append_text(info, tokenizer.encode(text, info.tokens), out.pixels);
    out.labels.push_back(text.label);
  }
  return out;
}

}  // namespace expunge::data
