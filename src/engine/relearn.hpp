// Time to recover: a finished cell's model is trained on D_f again.
#pragma once

#include "engine/node.hpp"

namespace expunge {

// Collective. Passes over D_f, each trained with `recipe` at a constant rate, until the accuracy on D_f
// reaches `target`; most + 1 when that many do not. `setup`: the cell's, whose student holds the unlearned
// parameters. Changes the node's model: call it when nothing needs the unlearned one any more. Its cost is
// not the method's and not counted.
double relearn_passes(Node& node, Context::Setup setup, config::TrainOptions recipe, double target,
                      std::int64_t most);

// How an original was trained.
config::TrainOptions recipe_of(const store::Record& original);

}  // namespace expunge
