#include "metrics/metric.hpp"

namespace expunge::metrics {
namespace {

std::vector<Value> compute(const Inputs&) { return {}; }

const RegisterMetric registered({
    .name = "zrf",
    .summary = "zero-retrain forgetting: likeness of the outputs on D_f to those of untrained networks",
    .source = "methods.md 5.4",
    .columns = {{"zrf", "ZRF", "1 - Jensen-Shannon divergence (base 2) from untrained networks on D_f", 1,
                 true},
                {"zrf_test", "ZRF D_test", "the same on a test sample of the same model, to compare with", 0,
                 true},
                {"zrf_mb", "ZRF (MU-Bench)",
                 "1 - Jensen-Shannon divergence (base e) from softmax of uniform noise on D_f", 1, true}},
    .needs_random_networks = true,
    .compute = compute,
});

}  // namespace
}  // namespace expunge::metrics
