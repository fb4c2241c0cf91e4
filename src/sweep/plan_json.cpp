#include "sweep/plan_json.hpp"

namespace expunge::sweep {

nlohmann::json plan_to_json(const Plan& plan) {
  nlohmann::json originals = nlohmann::json::array(), cells = nlohmann::json::array();
  for (const auto& o : plan.originals)
    originals.push_back({{"id", o.id},
                         {"key", o.key},
                         {"dataset", o.dataset},
                         {"model", o.model},
                         {"seed", o.seed},
                         {"flops", o.flops},
                         {"parameters", o.parameters}});
  for (const auto& c : plan.cells)
    cells.push_back({{"id", c.id},
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
                     {"steps", c.total_steps}});
  return {{"schema", 1},
          {"kind", "plan"},
          {"name", plan.name},
          {"file", plan.file},
          {"sha256", plan.sha256},
          {"metrics", plan.metrics},
          {"row_names", plan.row_names},
          {"originals", originals},
          {"cells", cells}};
}

}  // namespace expunge::sweep
