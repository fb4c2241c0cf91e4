// Accuracy of the worst class and the spread over classes: what a mean accuracy hides. Classes without a
// sample in the split are left out. All classes' accuracies: `expunge study classes`.
#include <algorithm>

#include "core/numbers.hpp"
#include "metrics/metric.hpp"
#include "metrics/scores.hpp"

namespace expunge::metrics {
namespace groups {

struct Worst {
  double least = kNan;
  double spread = kNan;
};

Worst worst_class(const Inputs& in, const std::string& split) {
  if (!has_logits(in, split)) return {};
  const Outputs& outputs = in.get(split);
  std::vector<std::int64_t> count(static_cast<std::size_t>(outputs.classes), 0), correct(count);
  for (std::int64_t i = 0; i < outputs.size(); ++i) {
    const auto label = static_cast<std::size_t>(outputs.labels[static_cast<std::size_t>(i)]);
    ++count[label];
    correct[label] += argmax(outputs.row(i), outputs.classes) == static_cast<std::int64_t>(label);
  }
  double least = 2, most = -1;
  for (std::size_t k = 0; k < count.size(); ++k) {
    if (count[k] == 0) continue;
    const double accuracy = static_cast<double>(correct[k]) / static_cast<double>(count[k]);
    least = std::min(least, accuracy);
    most = std::max(most, accuracy);
  }
  return {least, most - least};
}

std::vector<Value> compute(const Inputs& in) {
  const Worst test = worst_class(in, "test"), forget = worst_class(in, "forget");
  return {{"worst_class_test", test.least},
          {"class_spread_test", test.spread},
          {"worst_class_retain", worst_class(in, "retain").least},
          {"class_spread_forget", forget.spread}};
}

const RegisterMetric registered({
    .name = "groups",
    .summary = "accuracy of the worst class, and the best class's lead over it",
    .source = "Sagawa et al. 2020",
    .columns = {{"worst_class_test", "Worst class", "least accuracy of a class on the test split", 1, true},
                {"class_spread_test", "Class spread",
                 "accuracy of the best class minus that of the worst on the test split", -1, true},
                {"worst_class_retain", "Worst class D_r", "least accuracy of a class on the retain split", 1,
                 true},
                {"class_spread_forget", "Class spread D_f",
                 "best minus worst class on the forget split: high where some classes were not forgotten", 0,
                 true}},
    .compute = compute,
});

}  // namespace groups
}  // namespace expunge::metrics
