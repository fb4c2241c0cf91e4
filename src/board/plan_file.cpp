#include "board/plan_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "core/error.hpp"
#include "core/files.hpp"

namespace expunge::board {
namespace {

using nlohmann::json;

// Takes what the reducer needs as it is parsed: a million cells as JSON values would take gigabytes.
class PlanReader : public nlohmann::json_sax<json> {
 public:
  explicit PlanReader(SweepPlan& plan) : plan_(plan) {}

  bool null() override { return value("null"); }
  bool boolean(bool) override { return value("a truth value"); }
  bool number_integer(std::int64_t v) override { return number(v); }
  bool number_unsigned(std::uint64_t v) override { return number(v); }
  bool number_float(double v, const std::string&) override { return number(v); }
  bool string(std::string& v) override {
    if (in_list("row_names")) {
      plan_.row_names.push_back(std::move(v));
      return true;
    }
    if (auto* into = text_field()) {
      *into = std::move(v);
      note();
      return true;
    }
    return value("a text");
  }
  bool binary(json::binary_t&) override { return value("bytes"); }
  bool start_object(std::size_t) override {
    if (!in_list("cells")) return open('{');
    plan_.cells.emplace_back();
    seen_.clear();
    open_ += '{';
    return true;
  }
  bool start_array(std::size_t) override {
    if (open_.size() == 1 && open_[0] == '{') top_.push_back(key_);
    return open('[');
  }
  bool key(std::string& name) override {
    key_ = std::move(name);
    if (open_.size() == 1) top_key_ = key_;
    return true;
  }
  bool end_object() override {
    if (in_cell()) require_cell();
    return close();
  }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t, const std::string&, const json::exception& error) override {
    problem(error.what());
    return false;
  }

  // What is wrong with the plan; empty: nothing.
  std::string finish() {
    if (problem_.empty() && !was_object_) problem("it is no object");
    for (const char* name : {"name", "sha256", "row_names", "cells"})
      if (std::find(top_.begin(), top_.end(), name) == top_.end())
        problem(fmt::format("key '{}' not found", name));
    return problem_;
  }
  std::int64_t schema() const { return schema_; }

 private:
  bool in_list(const char* name) const { return open_ == "{[" && top_key_ == name; }
  bool in_cell() const { return open_ == "{[{" && top_key_ == "cells"; }
  bool open(char kind) {
    if (open_.empty()) was_object_ = kind == '{';
    // A list or an object where a cell's or the plan's own text or number should be.
    if (wanted()) problem(fmt::format("{}: a list or an object is no such value", key_));
    open_ += kind;
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }
  void problem(const std::string& what) {
    if (problem_.empty()) problem_ = what;
  }

  std::string* text_field() {
    if (open_ == "{")
      return key_ == "name"     ? &plan_.name
             : key_ == "sha256" ? &plan_.sha256
             : key_ == "file"   ? &plan_.file
                                : nullptr;
    if (!in_cell()) return nullptr;
    PlannedCell& c = plan_.cells.back();
    return key_ == "id"            ? &c.id
           : key_ == "key"         ? &c.key
           : key_ == "dataset"     ? &c.dataset
           : key_ == "model"       ? &c.model
           : key_ == "method"      ? &c.method
           : key_ == "original_id" ? &c.original_id
                                   : nullptr;
  }
  bool number_field() const {
    return (in_cell() && (key_ == "ratio" || key_ == "seed")) || (open_ == "{" && key_ == "schema");
  }
  bool wanted() { return text_field() || number_field() || in_list("row_names") || in_list("cells"); }

  template <class T>
  bool number(T v) {
    if (!number_field()) return value("a number");
    if (key_ == "ratio") plan_.cells.back().ratio = static_cast<double>(v);
    if (key_ == "seed") plan_.cells.back().seed = static_cast<std::int64_t>(v);
    if (key_ == "schema") schema_ = static_cast<std::int64_t>(v);
    note();
    return true;
  }
  // A value of this kind, which is of use nowhere.
  bool value(const char* kind) {
    if (open_.empty()) problem("it is no object");
    if (std::string_view(kind) == "a text" ? number_field() : wanted())
      problem(fmt::format("{}: {} is no such value", key_, kind));
    return true;
  }
  void note() { (open_ == "{" ? top_ : seen_).push_back(key_); }
  void require_cell() {
    for (const char* name : {"id", "key", "dataset", "model", "method", "ratio", "seed"})
      if (std::find(seen_.begin(), seen_.end(), name) == seen_.end())
        problem(fmt::format("cell {}: key '{}' not found", plan_.cells.size() - 1, name));
  }

  SweepPlan& plan_;
  std::string open_;  // what is open: '{' and '['
  std::string key_, top_key_;
  std::vector<std::string> top_, seen_;  // keys that were read: of the plan, of the cell
  std::string problem_;
  std::int64_t schema_ = 1;
  bool was_object_ = false;
};

}  // namespace

SweepPlan read_plan(const fs::path& path) {
  SweepPlan plan;
  {
    const MappedFile file(path);
    PlanReader reader(plan);
    json::sax_parse(file.view().begin(), file.view().end(), &reader);
    if (reader.schema() != 1)
      throw DataError::corrupt(
          fmt::format("{}: has schema {}, this program reads schema 1", path.string(), reader.schema()));
    if (const auto problem = reader.finish(); !problem.empty())
      throw DataError::corrupt(fmt::format("{}: not a plan: {}", path.string(), problem));
  }
  std::unordered_set<std::string_view> ids;
  ids.reserve(plan.cells.size());
  for (const auto& cell : plan.cells)
    if (!ids.insert(cell.id).second)
      throw DataError::corrupt(fmt::format("{}: cell {} is listed twice", path.string(), cell.id));
  return plan;
}

}  // namespace expunge::board
