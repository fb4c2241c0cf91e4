#include "sweep/axes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <set>
#include <unordered_set>

#include "core/error.hpp"
#include "core/text.hpp"
#include "data/dataset.hpp"
#include "methods/method.hpp"
#include "models/descriptor.hpp"

namespace expunge::sweep {
namespace {

using nlohmann::json;

enum Axis : std::size_t { kDataset, kModel, kMethod, kRatio, kSeed, kOriginalSeed, kAxes };
constexpr std::array<const char*, kAxes> kNames = {"dataset", "model", "method",
                                                   "ratio",   "seed",  "original.seed"};

constexpr std::size_t kMostCells = 2'000'000;  // beyond it a typing mistake is likelier than a sweep

// Values as JSON: strings, doubles or integers.
using Values = std::array<std::vector<json>, kAxes>;

std::vector<std::string> strings(const std::vector<json>& values) {
  std::vector<std::string> out;
  for (const auto& v : values) out.push_back(v.is_string() ? v.get<std::string>() : v.dump());
  return out;
}

class AxesReader {
 public:
  AxesReader(const config::Job& job, config::Diagnostics& problems) : job_(job), problems_(problems) {}

  Axes read() {
    config::Reader in("sweep", job_.layers({{"sweep"}}), problems_);
    out_.name = in.text("name", std::filesystem::path(job_.file).stem().string(),
                        "name of the sweep and of its output folder");
    check_name(in);
    for (std::size_t axis = kDataset; axis <= kSeed; ++axis)
      read_axis(static_cast<Axis>(axis), {"sweep", kNames[axis]});
    read_axis(kOriginalSeed, {"original", "seed"});
    in.finish({"dataset", "model", "method", "ratio", "seed", "exclude", "include"});
    out_.several_originals = axes_[kOriginalSeed].size() > 1;
    exclude_ = read_entries("exclude");
    const auto include = read_entries("include");
    add_product(axes_, true, !include.empty());
    for (const auto& entry : include) {
      Values values = axes_;
      for (std::size_t axis = 0; axis < kAxes; ++axis)
        if (entry[axis]) values[axis] = *entry[axis];
      add_product(values, false, true);
    }
    if (out_.points.empty() && problems_.empty())
      problems_.add(in.position(""), "sweep", "no cell is left: `exclude` removes them all");
    return std::move(out_);
  }

 private:
  using Entry = std::array<std::optional<std::vector<json>>, kAxes>;

  void check_name(config::Reader& in) {
    const auto plain = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
    };
    if (out_.name.empty() || out_.name[0] == '.' || out_.name[0] == '-' ||
        !std::all_of(out_.name.begin(), out_.name.end(), plain))
      in.problem(
          "name",
          fmt::format("must be a folder's name of letters, digits, '_', '-' and '.', got \"{}\"", out_.name));
  }

  void read_axis(Axis axis, const config::Section& section) {
    const config::Node* node = job_.find(section);
    const std::string path = join(section, ".");
    if (!node) {
      if (axis == kSeed || axis == kOriginalSeed) {
        axes_[axis] = {json(42)};
        return;
      }
      const config::Node* table = job_.find({section[0]});
      problems_.add(table ? table->at : config::Position{job_.file}, path, "missing; give a list");
      return;
    }
    if (node->is_table && axis == kModel) {  // one model by path
      json table = json::object();
      for (const auto& [key, child] : node->children) table[key] = child.value;
      axes_[axis] = checked(axis, path, table, node->at, {}, true);
      return;
    }
    if (node->is_table) return problems_.add(node->at, path, "expected a list, got a table");
    axes_[axis] = checked(axis, path, node->value, node->at, node->items, true);
  }

  // The good values of a list (or of one value); the others become problems.
  std::vector<json> checked(Axis axis, const std::string& path, const json& value, const config::Position& at,
                            const std::vector<config::Position>& items, bool unique) {
    const json list = value.is_array() ? value : json::array({value});
    if (list.empty()) problems_.add(at, path, "empty: an axis needs at least one value");
    std::vector<json> out;
    std::set<std::string> seen;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const auto& place = i < items.size() ? items[i] : at;
      json normal = list[i];
      if (axis == kModel && normal.is_object() && !name_model(path, normal, place)) continue;
      if (const auto wrong = mistake(axis, normal); !wrong.empty()) {
        problems_.add(place, path, wrong);
        continue;
      }
      const std::string text = normal.is_string() ? normal.get<std::string>() : normal.dump();
      if (!seen.insert(text).second) {
        if (unique) problems_.add(place, path, fmt::format("{} stands twice", normal.dump()));
        continue;
      }
      out_.written.try_emplace({kNames[axis], text}, place);
      out.push_back(normal);
    }
    return out;
  }

  // { path = "folder" } on the model axis: replaced by the name it goes by, its folder's unless it has one.
  bool name_model(const std::string& path, json& value, const config::Position& at) {
    static const std::vector<std::string> kKeys = {"path", "head", "name"};
    for (const auto& [key, part] : value.items()) {
      if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end()) {
        problems_.add(at, path + "." + key, "unknown key" + did_you_mean(key, kKeys));
        return false;
      }
      if (part.is_string() && !part.get<std::string>().empty()) continue;
      problems_.add(at, path + "." + key, fmt::format("expected a text, got {}", part.dump()));
      return false;
    }
    if (!value.contains("path")) {
      problems_.add(at, path, "a model that is a table needs a path: { path = \"FOLDER\" }");
      return false;
    }
    const auto folder = std::filesystem::path(value["path"].get<std::string>()).lexically_normal();
    const auto name =
        value.value("name", (folder.has_filename() ? folder : folder.parent_path()).filename().string());
    value.erase("name");
    const auto [found, added] = out_.models.try_emplace(name, value);
    if (!added && found->second != value) {
      problems_.add(at, path, fmt::format("two models are called \"{}\": give them names", name));
      return false;
    }
    value = name;
    return true;
  }

  // What is wrong with one value; makes 1 into 1.0 on the ratio axis.
  std::string mistake(Axis axis, json& value) const {
    const auto unknown = [&](const std::vector<std::string>& have) {
      return fmt::format("unknown {}{}", value.dump(), did_you_mean(value.get<std::string>(), have));
    };
    if (axis == kRatio) {
      if (!value.is_number()) return fmt::format("expected a number, got {}", value.dump());
      const double ratio = value.get<double>();
      if (!(ratio > 0 && ratio <= 1)) return fmt::format("must be in (0, 1], got {}", ratio);
      try {
        data::Ratio::parse(ratio);
      } catch (const ConfigError& error) {
        return error.what();
      }
      value = ratio;
      return "";
    }
    if (axis == kSeed || axis == kOriginalSeed) {
      if (!value.is_number_integer()) return fmt::format("expected an integer, got {}", value.dump());
      return value.get<std::int64_t>() < 0 ? fmt::format("must be >= 0, got {}", value.dump()) : "";
    }
    if (!value.is_string()) return fmt::format("expected a string, got {}", value.dump());
    const auto name = value.get<std::string>();
    if (axis == kDataset && !known_dataset(job_, name)) return unknown(data::reader_names());
    if (axis == kModel && !out_.models.count(name) && !known_model(job_, name))
      return unknown(models::model_names());
    if (axis == kMethod && !methods::find_descriptor(name)) return unknown(methods::descriptor_names());
    return "";
  }

  // `include` or `exclude`: tables whose keys are axes, whose values are one or several of their values.
  std::vector<Entry> read_entries(const std::string& which) {
    const std::string path = "sweep." + which;
    const config::Node* node = job_.find({"sweep", which});
    if (!node) return {};
    if (!node->value.is_array()) {
      problems_.add(node->at, path,
                    "expected a list of tables such as { method = \"salun\", model = \"resnet50\" }");
      return {};
    }
    std::vector<Entry> out;
    for (std::size_t i = 0; i < node->value.size(); ++i) {
      const auto& at = i < node->items.size() ? node->items[i] : node->at;
      if (!node->value[i].is_object() || node->value[i].empty())
        problems_.add(at, path, fmt::format("expected a table of axes, got {}", node->value[i].dump()));
      else
        out.push_back(read_entry(which, node->value[i], at));
    }
    return out;
  }

  Entry read_entry(const std::string& which, const json& table, const config::Position& at) {
    static const std::vector<std::string> kKeys = {"dataset", "model", "method", "ratio", "seed"};
    Entry entry;
    for (const auto& [key, value] : table.items()) {
      const std::string path = "sweep." + which + "." + key;
      const auto found = std::find(kKeys.begin(), kKeys.end(), key);
      if (found == kKeys.end()) {
        problems_.add(at, path, "unknown key" + did_you_mean(key, kKeys));
        continue;
      }
      const auto axis = static_cast<Axis>(found - kKeys.begin());
      entry[axis] = checked(axis, path, value, at, {}, false);
      if (which != "exclude") continue;
      for (const auto& v : *entry[axis])
        if (std::find(axes_[axis].begin(), axes_[axis].end(), v) == axes_[axis].end())
          problems_.add(
              at, path,
              fmt::format("{} is not on the axis ({})", v.dump(), join(strings(axes_[axis]), ", ")));
    }
    return entry;
  }

  bool excluded(const std::array<const json*, kAxes>& values) const {
    return std::any_of(exclude_.begin(), exclude_.end(), [&](const Entry& entry) {
      for (std::size_t axis = 0; axis < kAxes; ++axis)
        if (entry[axis] &&
            std::find(entry[axis]->begin(), entry[axis]->end(), *values[axis]) == entry[axis]->end())
          return false;
      return true;
    });
  }

  // `check_seen`: points may be there already; within the axes' own product they are not.
  void add_product(const Values& values, bool with_exclude, bool check_seen) {
    std::size_t count = 1;
    for (const auto& axis : values) {
      count *= axis.size();
      if (count > kMostCells)
        return problems_.add({job_.file}, "sweep", fmt::format("more than {} cells", kMostCells));
    }
    out_.points.reserve(out_.points.size() + count);
    for (std::size_t n = 0; n < count; ++n) {
      std::array<const json*, kAxes> at{};
      std::size_t rest = n;
      for (std::size_t axis = kAxes; axis-- > 0;) {
        at[axis] = &values[axis][rest % values[axis].size()];
        rest /= values[axis].size();
      }
      if (with_exclude && excluded(at)) continue;
      if (check_seen) {
        std::string key;
        for (const json* value : at) key += value->dump() + "/";
        if (!seen_.insert(key).second) continue;
      }
      out_.points.push_back({at[kDataset]->get<std::string>(), at[kModel]->get<std::string>(),
                             at[kMethod]->get<std::string>(), data::Ratio::parse(at[kRatio]->get<double>()),
                             at[kSeed]->get<std::int64_t>(), at[kOriginalSeed]->get<std::int64_t>()});
    }
  }

  const config::Job& job_;
  config::Diagnostics& problems_;
  Axes out_;
  Values axes_;
  std::vector<Entry> exclude_;
  std::unordered_set<std::string> seen_;
};

}  // namespace

config::Position Axes::where(const std::string& axis, const std::string& value) const {
  const auto found = written.find({axis, value});
  return found == written.end() ? config::Position{} : found->second;
}

bool known_dataset(const config::Job& job, const std::string& name) {
  if (data::find_reader(name)) return true;
  return job.find({"dataset", name, "reader"}) != nullptr;
}

bool known_model(const config::Job& job, const std::string& name) {
  return models::find_descriptor(name) || job.find({"model", name, "path"});
}

Axes read_axes(const config::Job& job, config::Diagnostics& problems) {
  return AxesReader(job, problems).read();
}

}  // namespace expunge::sweep
