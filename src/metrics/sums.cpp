#include "metrics/sums.hpp"

#include <algorithm>
#include <cmath>
#include <span>

#include "core/numbers.hpp"
#include "metrics/scores.hpp"
#include "stat/divergence.hpp"

namespace expunge::metrics {

double Sums::accuracy() const {
  if (count == 0 || !std::isfinite(loss_sum)) return kNan;
  return static_cast<double>(correct) / static_cast<double>(count);
}

namespace {

Sums answer_sums(const Outputs& outputs) {
  Sums sums;
  for (std::int64_t i = 0; i < outputs.size(); ++i) {
    const float* row = outputs.row(i);
    const bool finite = std::isfinite(row[0]);
    sums.count += static_cast<std::int64_t>(row[2]);
    sums.correct += finite ? static_cast<std::int64_t>(row[1]) : 0;
    sums.loss_sum += finite ? static_cast<double>(row[0]) * row[2] : kNan;
  }
  return sums;
}

}  // namespace

Sums split_sums(const Outputs& outputs) {
  check_shape(outputs);
  if (outputs.answers) return answer_sums(outputs);
  Sums sums;
  sums.count = outputs.size();
  sums.classes = outputs.classes;
  if (outputs.classes <= kMaxConfusionClasses)
    sums.confusion.assign(static_cast<std::size_t>(outputs.classes * outputs.classes), 0);
  std::vector<double> log_p(static_cast<std::size_t>(outputs.classes));
  for (std::int64_t i = 0; i < outputs.size(); ++i) {
    const std::span<const float> row(outputs.row(i), log_p.size());
    if (!std::ranges::all_of(row, [](float z) { return std::isfinite(z); })) {
      sums.loss_sum = kNan;
      continue;
    }
    stat::log_softmax(row, log_p);
    const std::int64_t label = outputs.labels[static_cast<std::size_t>(i)];
    const std::int64_t predicted = argmax(row.data(), outputs.classes);
    sums.loss_sum -= log_p[static_cast<std::size_t>(label)];
    sums.correct += predicted == label;
    if (!sums.confusion.empty())
      ++sums.confusion[static_cast<std::size_t>(label * outputs.classes + predicted)];
  }
  return sums;
}

double split_accuracy(const Inputs& in, const std::string& name) {
  return usable(in, name) ? split_sums(in.get(name)).accuracy() : kNan;
}

}  // namespace expunge::metrics
