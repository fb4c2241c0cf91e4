#include "sweep/plan_json.hpp"

#include <fmt/format.h>

#include "core/error.hpp"

namespace expunge::sweep {

nlohmann::json plan_head(const Plan& plan) {
  nlohmann::json originals = nlohmann::json::array();
  for (const auto& o : plan.originals)
    originals.push_back({{"id", o.id},
                         {"key", o.key},
                         {"dataset", o.dataset},
                         {"model", o.model},
                         {"seed", o.seed},
                         {"flops", o.flops},
                         {"parameters", o.parameters}});
  return {{"schema", 1},
          {"kind", "plan"},
          {"name", plan.name},
          {"file", plan.file},
          {"sha256", plan.sha256},
          {"metrics", plan.metrics},
          {"row_names", plan.row_names},
          {"originals", originals},
          {"cells", nlohmann::json::array()}};
}

nlohmann::json plan_cell(const Plan& plan, std::size_t i) {
  const Cell& c = plan.cells[i];
  return {{"id", c.id},
          {"key", c.key},
          {"dataset", c.dataset},
          {"model", c.model},
          {"method", c.method},
          {"ratio", c.ratio.value()},
          {"seed", c.seed},
          {"original_id", plan.originals[c.original].id},
          {"flops", c.flops},
          {"retrain_flops", c.retrain_flops},
          {"eval_flops", c.eval_flops},
          {"budget_flops", c.budget_flops},
          {"steps", c.total_steps}};
}

std::string plan_text(const Plan& plan) {
  return dump_with_cells(
             plan_head(plan), plan.cells.size(), [&](std::size_t i) { return plan_cell(plan, i); }, 1) +
         "\n";
}

std::string dump_with_cells(const nlohmann::json& head, std::size_t count,
                            const std::function<nlohmann::json(std::size_t)>& cell, int indent) {
  const std::string text = head.dump(indent), list = indent < 0 ? "\"cells\":[]" : "\"cells\": []";
  const auto at = text.find(list);
  EXPUNGE_CHECK(at != std::string::npos && head.begin().key() == "cells", "no cells to list under");
  if (count == 0) return text;
  const std::size_t step = indent < 0 ? 0 : static_cast<std::size_t>(indent);
  const std::string line = indent < 0 ? "" : "\n", deeper(2 * step, ' ');
  std::string out = text.substr(0, at + list.size() - 1);
  for (std::size_t i = 0; i < count; ++i) {
    out += (i > 0 ? "," : "") + line + deeper;
    for (const char c : cell(i).dump(indent)) {
      out += c;
      if (c == '\n') out += deeper;  // texts have none: it is escaped there
    }
    if (i == 0) out.reserve(text.size() + (out.size() - at + 64) * count);
  }
  return out + line + std::string(step, ' ') + text.substr(at + list.size() - 1);
}

}  // namespace expunge::sweep
