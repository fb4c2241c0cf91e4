#ifndef EXPUNGE_ENGINE
#include "models/folder.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/hash.hpp"
#include "core/text.hpp"
#include "models/config_json.hpp"
#include "models/input_kind.hpp"

namespace expunge::models {
namespace {

using nlohmann::json;

// A tokenizer may leave ids at the end of a model's table unused, for a rounder size: at most so many.
constexpr std::int64_t kSpareTokens = 1024;

fs::path path_in(const json& options) {
  return options.is_object() ? fs::path(options.value("path", "")) : fs::path();
}

bool is_weights(const fs::path& file) {
  return file.extension() == ".safetensors" || file.extension() == ".bin";
}

// "architectures" names what the weights are for; absent: not told.
bool says_no_classifier(const json& config) {
  const auto names = config.find("architectures");
  if (names == config.end() || !names->is_array() || names->empty()) return false;
  return std::none_of(names->begin(), names->end(), [](const json& name) {
    return name.is_string() && name.get<std::string>().find("Classification") != std::string::npos;
  });
}

void check_head(const std::string& name, const json& config, const std::string& place, std::int64_t classes) {
  const auto fix =
      fmt::format("set [model.{}] head = \"new\" to train a new classifier on its backbone", name);
  if (says_no_classifier(config))
    throw ConfigError(fmt::format("{} holds a {}, which has no classifier; {}", place,
                                  config["architectures"][0].dump(), fix));
  if (const auto have = class_count(config); have != classes)
    throw ConfigError(
        fmt::format("{} tells {} classes apart, the data set has {}; {}", place, have, classes, fix));
}

void check_texts(const json& config, const std::string& place, const InputShape& input) {
  const auto vocabulary = field(config, "vocab_size", std::int64_t{0});
  if (input.vocabulary > vocabulary || vocabulary - input.vocabulary > kSpareTokens)
    throw ConfigError(
        fmt::format("{} has a vocabulary of {} tokens, the data set's tokenizer one of {}: take the model's "
                    "own ([dataset.NAME] "
                    "tokenizer = its folder)",
                    place, vocabulary, input.vocabulary));
  const auto type = field<std::string>(config, "model_type", "");
  if (type == "llama" || !field(config, "position_biased_input", true)) return;
  auto positions = field(config, "max_position_embeddings", std::int64_t{512});
  if (type == "roberta") positions -= field(config, "pad_token_id", std::int64_t{1}) + 1;
  if (input.tokens > positions)
    throw ConfigError(fmt::format(
        "{} has {} positions, the data set's texts up to {} tokens: set [dataset.NAME] tokens = {} or less",
        place, positions, input.tokens, positions));
}

void check_images(const json& config, const std::string& place, const InputShape& input) {
  const auto channels = field(config, "num_channels", std::int64_t{3});
  if (channels != input.channels)
    throw ConfigError(fmt::format("{} takes images of {} channels, the data set's have {}", place, channels,
                                  input.channels));
  const auto size = config.find("image_size");
  if (field<std::string>(config, "model_type", "") == "vit" && size != config.end() &&
      size->is_number_integer() && (*size != input.height || *size != input.width))
    throw ConfigError(fmt::format("{} takes images of {}x{}, the data set's are {}x{}", place, size->dump(),
                                  size->dump(), input.height, input.width));
}

}  // namespace

json read_model_config(const fs::path& folder) {
  const auto path = folder / "config.json";
  try {
    auto config = json::parse(read_file(path));
    if (!config.is_object()) throw DataError::corrupt(fmt::format("{}: not a JSON object", path.string()));
    return config;
  } catch (const json::exception& error) {
    throw DataError::corrupt(fmt::format("{}: not JSON ({})", path.string(), error.what()));
  }
}

std::string weights_key(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error))
    throw DataError::missing(fmt::format("{}: no such folder", folder.string()));
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (is_weights(entry.path()) || entry.path().string().ends_with(".index.json"))
      files.push_back(entry.path());
  if (std::none_of(files.begin(), files.end(), is_weights))
    throw DataError::missing(fmt::format(
        "{}: no weights (model.safetensors or pytorch_model.bin, whole or in shards)", folder.string()));
  files.push_back(folder / "config.json");
  std::sort(files.begin(), files.end());
  Sha256 hash;
  for (const auto& file : files) {
    const MappedFile bytes(file);
    hash.add(fmt::format("{} {}\n", file.filename().string(), xxh128_hex(bytes.data(), bytes.size())));
  }
  return hash.hex();
}

const Descriptor& family_of(const std::string& name, const json& options) {
  const auto* registered = find_descriptor(name);
  const auto path = path_in(options);
  if (path.empty()) {
    if (!registered)
      throw ConfigError(fmt::format("unknown model \"{}\"{}", name, did_you_mean(name, model_names())));
    return *registered;
  }
  const auto type = field<std::string>(read_model_config(path), "model_type", "");
  const auto* family = find_by_model_type(type);
  if (!family) {
    std::vector<std::string> known;
    for (const auto* d : descriptors()) known.push_back(d->model_type);
    throw ConfigError(fmt::format("{}: the architecture \"{}\" is not known{}",
                                  (path / "config.json").string(), type, did_you_mean(type, known)));
  }
  if (registered && registered != family)
    throw ConfigError(fmt::format("{} is a \"{}\", not a \"{}\" as {}; give it a name of its own",
                                  (path / "config.json").string(), type, registered->model_type, name));
  return *family;
}

Chosen choose(const std::string& name, const json& options, const InputShape& input) {
  Chosen out;
  out.descriptor = &family_of(name, options);
  out.weights = path_in(options);
  if (out.weights.empty()) {
    out.config = out.descriptor->config(name, input);
    return out;
  }
  const auto place = (out.weights / "config.json").string();
  out.config = read_model_config(out.weights);
  out.new_head = options.value("head", "keep") == "new";
  if (input_kind(*out.descriptor) == InputKind::kTexts)
    check_texts(out.config, place, input);
  else if (input_kind(*out.descriptor) == InputKind::kImages)
    check_images(out.config, place, input);
  if (out.descriptor->task != "classification") return out;
  if (!out.new_head) {
    check_head(name, out.config, place, input.classes);
    return out;
  }
  for (const char* key : {"num_labels", "problem_type"}) out.config.erase(key);
  add_labels(out.config, input.classes);
  const auto own = out.descriptor->config(out.descriptor->names.front(), input);
  if (own.contains("architectures")) out.config["architectures"] = own["architectures"];
  return out;
}

}  // namespace expunge::models
#endif
