// The name that job files use for wall-clock time. Seconds differ between two runs of one cell, so they are
// no column of /row: the engine writes them to /timing of every store whether or not this metric is listed.
#include "metrics/metric.hpp"

namespace expunge::metrics {
namespace time {

const RegisterMetric registered({
    .name = "time",
    .summary =
        "seconds of unlearning; always written to /timing of the store, never part of the compared results",
    .source = "methods.md 5.6",
    .columns = {},
    .compute = [](const Inputs&) { return std::vector<Value>{}; },
});

}  // namespace time
}  // namespace expunge::metrics
