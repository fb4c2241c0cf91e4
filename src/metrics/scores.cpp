#include "metrics/scores.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "core/error.hpp"
#include "stat/divergence.hpp"

namespace expunge::metrics {
namespace {

// score(position, log-probabilities of its row) of every sample, in ascending id order.
template <class Score>
std::vector<double> each(const Outputs& outputs, Score score) {
  std::vector<double> log_p(static_cast<std::size_t>(outputs.classes)), scores;
  scores.reserve(outputs.ids.size());
  for (const std::int64_t i : id_order(outputs)) {
    stat::log_softmax({outputs.row(i), log_p.size()}, log_p);
    scores.push_back(score(static_cast<std::size_t>(i), log_p));
  }
  return scores;
}

// The first number of an answer's row, and the share of its right tokens (0 where it has none).
double answer_loss(const Outputs& outputs, std::int64_t i) { return outputs.row(i)[0]; }
double answer_share(const Outputs& outputs, std::int64_t i) {
  return outputs.row(i)[2] > 0 ? outputs.row(i)[1] / outputs.row(i)[2] : 0;
}

template <class Number>
std::vector<double> each_answer(const Outputs& outputs, Number number) {
  std::vector<double> out;
  for (const std::int64_t i : id_order(outputs)) out.push_back(number(outputs, i));
  return out;
}

}  // namespace

std::int64_t argmax(const float* row, std::int64_t classes) {
  return std::max_element(row, row + classes) - row;
}

void check_shape(const Outputs& outputs) {
  const auto n = outputs.ids.size(), classes = static_cast<std::size_t>(outputs.classes);
  EXPUNGE_CHECK(outputs.labels.size() == n && outputs.logits.size() == n * classes,
                "outputs of {} samples with {} labels and {} logits of {} classes", n, outputs.labels.size(),
                outputs.logits.size(), outputs.classes);
  for (const std::int64_t label : outputs.labels)
    EXPUNGE_CHECK(label >= 0 && label < outputs.classes, "label {} of {} classes", label, outputs.classes);
}

bool usable(const Inputs& in, const std::string& split) {
  if (!in.has(split)) return false;
  const Outputs& outputs = in.get(split);
  check_shape(outputs);
  return outputs.size() > 0 && std::ranges::all_of(outputs.logits, [](float z) { return std::isfinite(z); });
}

bool has_logits(const Inputs& in, const std::string& split) {
  return usable(in, split) && !in.get(split).answers;
}

std::vector<std::int64_t> id_order(const Outputs& outputs) {
  std::vector<std::int64_t> order(outputs.ids.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  const auto id = [&](std::int64_t i) { return outputs.ids[static_cast<std::size_t>(i)]; };
  if (!std::ranges::is_sorted(outputs.ids)) std::ranges::sort(order, {}, id);
  for (std::size_t i = 1; i < order.size(); ++i)
    EXPUNGE_CHECK(id(order[i - 1]) != id(order[i]), "sample {} occurs twice in the outputs of one split",
                  id(order[i]));
  return order;
}

std::vector<double> gold_probability(const Outputs& outputs) {
  if (outputs.answers)
    return each_answer(outputs,
                       [](const Outputs& o, std::int64_t i) { return std::exp(-answer_loss(o, i)); });
  return each(outputs, [&](std::size_t i, const std::vector<double>& log_p) {
    return std::exp(log_p[static_cast<std::size_t>(outputs.labels[i])]);
  });
}

std::vector<double> correctness(const Outputs& outputs) {
  if (outputs.answers) return each_answer(outputs, answer_share);
  return each(outputs, [&](std::size_t i, const std::vector<double>&) {
    return argmax(outputs.row(static_cast<std::int64_t>(i)), outputs.classes) == outputs.labels[i] ? 1.0
                                                                                                   : 0.0;
  });
}

std::vector<double> entropy(const Outputs& outputs) {
  if (outputs.answers) return each_answer(outputs, answer_loss);
  return each(outputs, [](std::size_t, const std::vector<double>& log_p) { return stat::entropy(log_p); });
}

std::vector<double> log_probabilities(const Outputs& outputs) {
  EXPUNGE_CHECK(!outputs.answers, "a language model's outputs are kept as numbers, not as logits");
  const auto classes = static_cast<std::size_t>(outputs.classes);
  std::vector<double> all(outputs.ids.size() * classes);
  std::size_t row = 0;
  for (const std::int64_t i : id_order(outputs))
    stat::log_softmax({outputs.row(i), classes}, std::span(all).subspan(classes * row++, classes));
  return all;
}

}  // namespace expunge::metrics
