// Share of samples whose largest logit is the label's; ties go to the lowest class.
#include "metrics/metric.hpp"
#include "metrics/sums.hpp"

namespace expunge::metrics {
namespace accuracy {

std::vector<Value> compute(const Inputs& in) {
  return {{"test_accuracy", split_accuracy(in, "test")},
          {"forget_accuracy", split_accuracy(in, "forget")},
          {"retain_accuracy", split_accuracy(in, "retain")},
          {"val_accuracy", split_accuracy(in, "val")}};
}

const RegisterMetric registered({
    .name = "accuracy",
    .summary = "accuracy on the test, forget, retain and validation splits",
    .source = "methods.md 5.1",
    .columns = {{"test_accuracy", "D_test", "accuracy on the test split", 1, true},
                {"forget_accuracy", "D_f",
                 "accuracy on the forget split; aims at the random level, not below", -1, true},
                {"retain_accuracy", "D_r", "accuracy on the retain split", 1, true},
                {"val_accuracy", "D_val", "accuracy on the validation split; empty without one", 1, true}},
    .compute = compute,
});

}  // namespace accuracy
}  // namespace expunge::metrics
