#include "board/study/study.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/numbers.hpp"
#include "store/store_file.hpp"

namespace expunge::board {
namespace {

// Filled during static initialisation, read-only afterwards.
std::vector<Study>& registry() {
  static std::vector<Study> all;
  return all;
}

std::size_t index_of(const std::vector<std::string>& names, const std::string& name) {
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

}  // namespace

RegisterStudy::RegisterStudy(Study study) {
  auto& all = registry();
  const auto at = std::lower_bound(all.begin(), all.end(), study.name,
                                   [](const Study& a, const std::string& name) { return a.name < name; });
  EXPUNGE_CHECK(at == all.end() || at->name != study.name, "study {} is registered twice", study.name);
  all.insert(at, std::move(study));
}

const std::vector<Study>& studies() { return registry(); }

const Study* find_study(const std::string& name) {
  for (const auto& study : studies())
    if (study.name == name) return &study;
  return nullptr;
}

std::string place_text(const Row& row) { return row.cell.dataset + " · " + row.cell.model; }

double value_at(const Board& board, const Row& row, const std::string& column) {
  const std::size_t at = index_of(board.row_names, column);
  return at < row.values.size() && row.merged() && std::isfinite(row.values[at]) ? row.values[at] : kNan;
}

double seconds_at(const Board& board, const Row& row, const std::string& name) {
  const std::size_t at = index_of(board.timing_names, name);
  return at < row.timing.size() && row.merged() ? row.timing[at] : kNan;
}

std::string setting_at(const Row& row, const std::string& path) {
  const auto config = nlohmann::json::parse(row.config_json.text(), nullptr, false);
  if (config.is_discarded() || !config.contains("settings")) return "";
  std::string pointer = "/" + path;
  std::replace(pointer.begin(), pointer.end(), '.', '/');
  const nlohmann::json::json_pointer at(pointer);
  const auto& settings = config.at("settings");
  if (!settings.contains(at)) return "";
  const auto& value = settings.at(at);
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string percent(double share) { return std::isnan(share) ? "-" : fmt::format("{:.1f}", 100 * share); }

double original_accuracy(const StudySource& source, const std::string& original_id) {
  const auto path = source.folder / "originals" / original_id / "store.h5";
  if (original_id.empty() || !std::filesystem::exists(path)) return kNan;
  const auto names = store::read_row_names(path);
  const auto header = store::read_row(path);
  const std::size_t at = index_of(names, "test_accuracy");
  return at < header.row.size() ? header.row[at] : kNan;
}

}  // namespace expunge::board
