#include "board/plan_file.hpp"

#include <nlohmann/json.hpp>
#include <set>

#include "core/error.hpp"
#include "core/files.hpp"

namespace expunge::board {
namespace {

PlannedCell cell_of(const nlohmann::json& json) {
  PlannedCell c;
  json.at("id").get_to(c.id);
  json.at("key").get_to(c.key);
  json.at("dataset").get_to(c.dataset);
  json.at("model").get_to(c.model);
  json.at("method").get_to(c.method);
  json.at("ratio").get_to(c.ratio);
  json.at("seed").get_to(c.seed);
  c.original_id = json.value("original_id", "");
  return c;
}

}  // namespace

SweepPlan read_plan(const fs::path& path) {
  const std::string text = read_file(path);
  SweepPlan plan;
  try {
    const auto json = nlohmann::json::parse(text);
    if (json.value("schema", 1) != 1)
      throw DataError::corrupt(fmt::format("{}: has schema {}, this program reads schema 1", path.string(),
                                           json.at("schema").dump()));
    json.at("name").get_to(plan.name);
    json.at("sha256").get_to(plan.sha256);
    json.at("row_names").get_to(plan.row_names);
    plan.file = json.value("file", "");
    for (const auto& cell : json.at("cells")) plan.cells.push_back(cell_of(cell));
  } catch (const nlohmann::json::exception& error) {
    throw DataError::corrupt(fmt::format("{}: not a plan: {}", path.string(), error.what()));
  }
  std::set<std::string> ids;
  for (const auto& cell : plan.cells)
    if (!ids.insert(cell.id).second)
      throw DataError::corrupt(fmt::format("{}: cell {} is listed twice", path.string(), cell.id));
  return plan;
}

}  // namespace expunge::board
