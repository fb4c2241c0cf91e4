#include "data/dataset.hpp"

#include <dlfcn.h>

#include <cstdlib>

#include "config/reader.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"
#include "data/corruption.hpp"
#include "data/packed_cache.hpp"
#include "data/text_samples.hpp"

namespace expunge::data {
namespace {

fs::path environment_path(const char* name) {
  const char* value = std::getenv(name);
  return value ? fs::path(value) : fs::path();
}

// Mistakes in options that did not pass through read_dataset_options.
template <class T>
T option(const std::string& dataset, const nlohmann::json& options, const char* key, T fallback) {
  if (!options.is_object() || !options.contains(key)) return fallback;
  try {
    return options.at(key).get<T>();
  } catch (const nlohmann::json::exception&) {
    throw ConfigError(
        fmt::format("dataset.{}.{}: unexpected value {}", dataset, key, options.at(key).dump()));
  }
}

const Reader& reader_for(const std::string& name, const nlohmann::json& options) {
  const auto reader_name = option<std::string>(name, options, "reader", "");
  if (const Reader* reader = find_reader(reader_name.empty() ? name : reader_name)) return *reader;
  if (!reader_name.empty())
    throw ConfigError(fmt::format("dataset.{}.reader: unknown \"{}\"{}", name, reader_name,
                                  did_you_mean(reader_name, reader_names())));
  throw ConfigError(
      fmt::format("unknown data set \"{}\"{}; files of your own: [dataset.{}] with reader = "
                  "\"image_folder\" or \"text_table\" and path",
                  name, did_you_mean(name, reader_names()), name));
}

// What makes tokens of texts with classes, and the columns of a table of them.
void take_text_options(const std::string& name, const nlohmann::json& options, const Reader& reader,
                       Info& info) {
  for (const auto& [key, value] : {std::pair{"tokenizer", &info.tokenizer},
                                   {"text_column", &info.text_column},
                                   {"second_column", &info.second_column},
                                   {"label_column", &info.label_column}}) {
    const auto written = option<std::string>(name, options, key, "");
    if (written.empty()) continue;
    if (!info.classified_text() || (value != &info.tokenizer && reader.info.name != "text_table"))
      throw ConfigError(fmt::format("dataset.{}.{}: not for {}, which has {}", name, key, reader.info.name,
                                    info.classified_text() ? "columns of its own" : "no texts with classes"));
    *value = written;
  }
  if (info.classified_text()) info.vocabulary = vocabulary_of(name, info.tokenizer);
}

// The reader's constants under the job's options.
Info info_for(const std::string& name, const nlohmann::json& options, const Reader& reader) {
  Info info = reader.info;
  info.name = name;
  const auto channels = option<std::int64_t>(name, options, "channels", 0);
  if (channels != 0 && info.channels != 0 && channels != info.channels)
    throw ConfigError(fmt::format("dataset.{}.channels: {} always has {}, not {}", name, reader.info.name,
                                  info.channels, channels));
  if (channels != 0 && channels != 1 && channels != 3)
    throw ConfigError(fmt::format("dataset.{}.channels: expected 1 or 3, found {}", name, channels));
  if (channels != 0) info.channels = channels;
  info.corruption = option<std::string>(name, options, "corruption", "");
  if (!info.corruption.empty() && (!is_corruption(info.corruption) || info.tokens > 0))
    throw ConfigError(fmt::format("dataset.{}.corruption: \"{}\" is none that applies to {}", name,
                                  info.corruption, reader.info.name));
  if (const auto tokens = option<std::int64_t>(name, options, "tokens", 0); tokens > 0) {
    if (!info.text_alone())
      throw ConfigError(
          fmt::format("dataset.{}.tokens: the samples of {} are no texts", name, reader.info.name));
    info.tokens = info.width = tokens;
  }
  take_text_options(name, options, reader, info);
  info.mean = option(name, options, "mean", info.mean);
  info.deviation = option(name, options, "deviation", info.deviation);
  return info;
}

// One value for all channels, or one a channel.
void fit_to_channels(Info& info) {
  for (auto* values : {&info.mean, &info.deviation}) {
    if (values->size() == 1) values->assign(static_cast<std::size_t>(info.channels), values->front());
    if (static_cast<std::int64_t>(values->size()) != info.channels)
      throw ConfigError(fmt::format("dataset.{}.{}: expected {} values, one a channel, found {}", info.name,
                                    values == &info.mean ? "mean" : "deviation", info.channels,
                                    values->size()));
  }
  for (const double deviation : info.deviation)
    if (!(deviation > 0))
      throw ConfigError(
          fmt::format("dataset.{}.deviation: expected values > 0, found {}", info.name, deviation));
}

// The first place that holds the data set; else an empty path and the places in `where`.
fs::path locate(const std::string& name, const nlohmann::json& options, const Reader& reader,
                std::string& where) {
  std::vector<fs::path> places;
  const auto folders = reader.folders.empty() ? std::vector<std::string>{name} : reader.folders;
  const auto below = [&](const fs::path& root) {
    for (const auto& folder : folders) places.push_back(root / folder);
  };
  if (const fs::path path = option<std::string>(name, options, "path", ""); !path.empty()) {
    places.push_back(path);
    below(path);
  } else {
    for (const auto& root : data_roots()) below(root);
  }
  where = fmt::format("data set {} not found: {} expected in one of", name, reader.info.files);
  for (const auto& place : places) {
    if (reader.present(place)) return place;
    where += "\n  " + place.string();
  }
  where +=
      fmt::format("\nset EXPUNGE_DATA_ROOT or [dataset.{}] path, or see `expunge data fetch {}`", name, name);
  return {};
}

}  // namespace

std::vector<fs::path> data_roots() {
  std::vector<fs::path> roots;
  if (const char* value = std::getenv("EXPUNGE_DATA_ROOT"))
    for (const auto& root : split(value, ':'))
      if (!root.empty()) roots.emplace_back(root);
  roots.push_back(fetch_folder());
  roots.emplace_back("/usr/local/share/datasets");
  roots.emplace_back("/usr/share/datasets");
  roots.push_back(project_folder());
  return roots;
}

fs::path cache_folder() {
  if (const auto folder = environment_path("EXPUNGE_CACHE"); !folder.empty()) return folder;
  if (const auto folder = environment_path("XDG_CACHE_HOME"); !folder.empty()) return folder / "expunge";
  if (const auto folder = environment_path("HOME"); !folder.empty()) return folder / ".cache" / "expunge";
  return fs::temp_directory_path() / "expunge";
}

fs::path fetch_folder() { return cache_folder() / "data"; }

fs::path project_folder() {
  // The library lies in BUILD/lib, BUILD mostly in the project: walk up from there.
  Dl_info library{};
  std::error_code error;
  if (::dladdr(reinterpret_cast<const void*>(&project_folder), &library) != 0 && library.dli_fname) {
    for (fs::path at = fs::canonical(library.dli_fname, error).parent_path(); at.has_relative_path();
         at = at.parent_path())
      for (const auto& folder : {at / "data", at / "share" / "expunge" / "data"})
        if (fs::exists(folder / "deletion_lists", error)) return folder;
  }
  return EXPUNGE_DATA_FOLDER;
}

nlohmann::json read_dataset_options(config::Reader& in) {
  nlohmann::json out = nlohmann::json::object();
  const auto path = in.text("path", "", "folder of the files; replaces the places searched otherwise");
  const auto reader = in.text("reader", "", "reader of a data set of your own: image_folder or text_table");
  const auto channels = in.integer("channels", 0, config::between(0, 3), "1 or 3; 0 = as the first image");
  const auto tokens = in.integer("tokens", 0, config::between(0, 65536),
                                 "most tokens of a text, longer ones are cut; 0 = the data set's own limit");
  const auto mean =
      in.numbers("mean", {}, config::any(), "mean of the pixels in [0, 1], one a channel or one for all");
  const auto deviation =
      in.numbers("deviation", {}, config::gt(0), "standard deviation of the pixels in [0, 1]");
  const auto tokenizer = in.text(
      "tokenizer", "",
      "of texts with classes: words, bytes, or the folder or file of a vocabulary, also below tokenizers/ of "
      "the data roots; default: the model's own, else words");
  for (const auto& [key, help] : {std::pair{"text_column", "text_table: the texts' column, e.g. review"},
                                  {"second_column", "text_table: the column of second texts, for pairs"},
                                  {"label_column", "text_table: the classes' column"}})
    if (const auto column = in.text(key, "", help); !column.empty()) out[key] = column;
  if (!tokenizer.empty()) out["tokenizer"] = tokenizer;
  if (channels == 2) in.problem("channels", "expected 1 or 3, found 2");
  if (!reader.empty() && !find_reader(reader))
    in.problem("reader", fmt::format("unknown \"{}\"{}", reader, did_you_mean(reader, reader_names())));
  if (!path.empty()) out["path"] = path;
  if (!reader.empty()) out["reader"] = reader;
  if (channels != 0) out["channels"] = channels;
  if (tokens != 0) out["tokens"] = tokens;
  if (!mean.empty()) out["mean"] = mean;
  if (!deviation.empty()) out["deviation"] = deviation;
  const auto corruption =
      in.text("corruption", "",
              "of the test images: NAME:SEVERITY (" + join(corruption_names(), ", ") + "; 1 to 5), or mixed");
  if (!corruption.empty() && !is_corruption(corruption))
    in.problem(
        "corruption",
        fmt::format("expected NAME:SEVERITY with a name of {} and a severity of 1 to 5, or mixed; got {}",
                    join(corruption_names(), ", "), corruption));
  if (!corruption.empty()) out["corruption"] = corruption;
  return out;
}

Info describe(const std::string& name, const nlohmann::json& options) {
  const Reader& reader = reader_for(name, options);
  Info info = info_for(name, options, reader);
  std::string where;
  if (const fs::path root = locate(name, options, reader, where); !root.empty()) reader.measure(root, info);
  return info;
}

std::shared_ptr<const Dataset> open(const std::string& name, const nlohmann::json& options) {
  const Reader& reader = reader_for(name, options);
  std::string where;
  Source source{&reader, locate(name, options, reader, where), info_for(name, options, reader)};
  if (source.root.empty()) throw DataError::missing(where);
  Info measured = source.info;
  reader.measure(source.root, measured);
  fit_to_channels(measured);
  source.info.mean = measured.mean;
  source.info.deviation = measured.deviation;
  source.info.nodes = measured.nodes;
  return open_packed(source);
}

bool available(const std::string& name, const nlohmann::json& options, std::string& where) {
  const fs::path root = locate(name, options, reader_for(name, options), where);
  if (!root.empty()) where = root.string();
  return !root.empty();
}

}  // namespace expunge::data
