// Time to recover: how long training on D_f takes to bring back what was forgotten (relearn time, Golatkar et
// al. 2020; within a margin of the original's accuracy, as the anamnesis index of Chundawat et al. 2023 has
// it). The engine trains, because stores keep no parameters.
#include "metrics/metric.hpp"

namespace expunge::metrics {
namespace relearn {

const RegisterMetric registered({
    .name = "relearn",
    .summary = "passes over D_f that bring its accuracy back to the original's",
    .source = "Golatkar et al. 2020; Chundawat et al. 2023",
    .columns = {{"relearn_passes", "Relearn",
                 "passes over D_f, trained as the original was, until its accuracy is within "
                 "evaluate.relearn_margin of the "
                 "original's; evaluate.relearn_passes + 1: not within that many",
                 1, false}},
    .needs_relearning = true,
    .compute = [](const Inputs& in) -> std::vector<Value> {
      return {{"relearn_passes", in.relearn_passes}};
    },
});

}  // namespace relearn
}  // namespace expunge::metrics
