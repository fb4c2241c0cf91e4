#include "metrics/metric.hpp"

namespace expunge::metrics {
namespace {

std::vector<Value> compute(const Inputs&) { return {}; }

const RegisterMetric registered({
    .name = "overall",
    .summary = "harmonic mean of kept test accuracy and closeness of D_f to the random level",
    .source = "methods.md 5.5",
    .columns = {{"overall", "Overall", "0 where the test accuracy or D_f left its gate", 1, true},
                {"overall_ungated", "Overall, ungated", "the same score without the gates", 1, true}},
    .compute = compute,
});

}  // namespace
}  // namespace expunge::metrics
