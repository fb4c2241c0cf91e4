// F1 without the negative class, as relation extraction reports it (Segura-Bedmar et al. 2013, SemEval task
// 9): class 0 means "no relation" and counts only where it is mistaken for another or another for it.

#include "core/numbers.hpp"
#include "metrics/metric.hpp"
#include "metrics/scores.hpp"
#include "metrics/sums.hpp"

namespace expunge::metrics {
namespace f1 {

struct F1 {
  double micro = kNan, macro = kNan;
};

double f1(std::int64_t hits, std::int64_t predicted, std::int64_t labelled) {
  return predicted + labelled == 0
             ? 0.0
             : 2.0 * static_cast<double>(hits) / static_cast<double>(predicted + labelled);
}

F1 f1_of(const Inputs& in, const std::string& split) {
  if (!usable(in, split)) return {};
  const Sums sums = split_sums(in.get(split));
  if (sums.confusion.empty() || sums.classes < 2) return {};
  std::int64_t hits = 0, predicted = 0, labelled = 0;
  double macro = 0;
  for (std::int64_t k = 1; k < sums.classes; ++k) {
    std::int64_t p = 0, l = 0;
    for (std::int64_t other = 0; other < sums.classes; ++other) {
      p += sums.confusion[static_cast<std::size_t>(other * sums.classes + k)];
      l += sums.confusion[static_cast<std::size_t>(k * sums.classes + other)];
    }
    const std::int64_t h = sums.confusion[static_cast<std::size_t>(k * sums.classes + k)];
    macro += f1(h, p, l);
    hits += h, predicted += p, labelled += l;
  }
  return {f1(hits, predicted, labelled), macro / static_cast<double>(sums.classes - 1)};
}

std::vector<Value> compute(const Inputs& in) {
  const F1 test = f1_of(in, "test"), forget = f1_of(in, "forget"), retain = f1_of(in, "retain");
  return {{"f1_micro_test", test.micro},
          {"f1_macro_test", test.macro},
          {"f1_micro_forget", forget.micro},
          {"f1_micro_retain", retain.micro}};
}

const RegisterMetric registered({
    .name = "f1",
    .summary = "micro and macro F1 over all classes but the first, the negative one",
    .source = "Segura-Bedmar et al., SemEval-2013 task 9",
    .columns = {{"f1_micro_test", "F1", "micro F1 without class 0 on the test split", 1, true},
                {"f1_macro_test", "Macro F1",
                 "mean of the classes' F1 without class 0 on the test split; 0 for a class that neither "
                 "occurs nor is "
                 "predicted",
                 1, true},
                {"f1_micro_forget", "F1 D_f", "micro F1 on the forget split", -1, true},
                {"f1_micro_retain", "F1 D_r", "micro F1 on the retain split", 1, true}},
    .compute = compute,
});

}  // namespace f1
}  // namespace expunge::metrics
