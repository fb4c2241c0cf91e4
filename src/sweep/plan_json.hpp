// A plan as JSON: `plan --json`, and plan.json in a sweep's folder, from which the reducer knows which cells
// there should be.
#pragma once

#include <nlohmann/json.hpp>

#include "sweep/sweep.hpp"

namespace expunge::sweep {

// {schema, kind: "plan", name, file, sha256, metrics, row_names,
//  originals: [{id, key, dataset, model, seed, flops, parameters}],
//  cells: [{id, key, dataset, model, method, ratio, seed, original_id, flops, retrain_flops, eval_flops,
//  budget_flops, steps}]}
// Settings are left out: stores hold them.
nlohmann::json plan_to_json(const Plan& plan);

}  // namespace expunge::sweep
