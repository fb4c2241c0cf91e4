// A plan as JSON: `plan --json`, and plan.json in a sweep's folder, from which the reducer knows which cells
// there should be.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "sweep/sweep.hpp"

namespace expunge::sweep {

// {schema, kind: "plan", name, file, sha256, metrics, row_names,
//  originals: [{id, key, dataset, model, seed, flops, parameters}],
//  cells: [{id, key, dataset, model, method, ratio, seed, original_id, flops, retrain_flops, eval_flops,
//  budget_flops, steps}]}
// Settings are left out: stores hold them.
std::string plan_text(const Plan& plan);
// The same in parts: without its cells (an empty list), and cell i.
nlohmann::json plan_head(const Plan& plan);
nlohmann::json plan_cell(const Plan& plan, std::size_t i);

// head.dump(indent), in which `cells`, the first key and an empty list, has `count` elements. As JSON values
// a million cells would take gigabytes.
std::string dump_with_cells(const nlohmann::json& head, std::size_t count,
                            const std::function<nlohmann::json(std::size_t)>& cell, int indent);

}  // namespace expunge::sweep
