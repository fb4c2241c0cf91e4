// Zero-retrain forgetting (Chundawat et al. 2023): 1 means that the outputs are those of a network that saw
// nothing.
#include <algorithm>
#include <cmath>
#include <span>

#include "core/error.hpp"
#include "core/numbers.hpp"
#include "core/rng.hpp"
#include "metrics/metric.hpp"
#include "metrics/scores.hpp"
#include "stat/divergence.hpp"

namespace expunge::metrics {
namespace zrf {

constexpr std::uint64_t kRepeats = 500;  // MU-Bench

std::vector<std::int64_t> sorted_ids(const Outputs& outputs) {
  std::vector<std::int64_t> ids;
  for (const std::int64_t i : id_order(outputs)) ids.push_back(outputs.ids[static_cast<std::size_t>(i)]);
  return ids;
}

// Mean JS (base 2) of the model's outputs `model` and those of every untrained network "random.K.SPLIT".
double zrf(const Inputs& in, const std::string& model, const std::string& split) {
  if (!has_logits(in, model)) return kNan;
  const Outputs& outputs = in.get(model);
  const auto classes = static_cast<std::size_t>(outputs.classes);
  const auto ids = sorted_ids(outputs);
  const auto log_p = log_probabilities(outputs);
  double sum = 0;
  int networks = 0;
  for (;; ++networks) {
    const std::string name = fmt::format("random.{}.{}", networks, split);
    if (!in.has(name)) break;
    if (!usable(in, name)) return kNan;
    const Outputs& random = in.get(name);
    EXPUNGE_CHECK(random.classes == outputs.classes && sorted_ids(random) == ids,
                  "{} and {} hold different samples or classes", name, model);
    const auto log_q = log_probabilities(random);
    for (std::size_t at = 0; at < log_p.size(); at += classes)
      sum += stat::js(std::span(log_p).subspan(at, classes), std::span(log_q).subspan(at, classes),
                      stat::Base::kTwo);
  }
  if (networks == 0) return kNan;
  return 1 - sum / (static_cast<double>(ids.size()) * networks);
}

// e^u for the 2^16 midpoints of [0, 1).
const std::vector<double>& exponentials() {
  static const std::vector<double> table = [] {
    std::vector<double> values;
    for (int i = 0; i < 65536; ++i) values.push_back(std::exp((i + 0.5) / 65536));
    return values;
  }();
  return table;
}

// q = softmax of independent Uniform(0, 1) logits (16 bits each, eight to a random block of 128 bits), keyed
// by sample and repeat. Returns sum q ln q, which needs one logarithm: ln q_k = u_k - ln sum e^u.
double uniform_softmax(std::uint64_t key, std::uint64_t id, std::uint64_t repeat, std::span<double> q) {
  const std::vector<double>& table = exponentials();
  const std::uint64_t blocks = (q.size() + 7) / 8;
  double total = 0, weighted = 0;
  for (std::uint64_t block = 0; block < blocks; ++block) {
    const Philox4 bits = philox(key, id, repeat * blocks + block);
    for (std::size_t k = block * 8; k < std::min<std::size_t>(q.size(), block * 8 + 8); ++k) {
      const std::uint32_t u = (bits[(k % 8) / 2] >> (16 * (k % 2))) & 0xffff;
      q[k] = table[u];
      total += q[k];
      weighted += q[k] * ((u + 0.5) / 65536);
    }
  }
  for (double& value : q) value /= total;
  return weighted / total - std::log(total);
}

// MU-Bench's form: noise instead of an untrained network, base e. JS = (sum p ln p + sum q ln q) / 2 - sum m
// ln m.
double zrf_noise(const Inputs& in) {
  if (!has_logits(in, "forget")) return kNan;
  const Outputs& outputs = in.get("forget");
  const auto classes = static_cast<std::size_t>(outputs.classes);
  const auto ids = sorted_ids(outputs);
  const auto log_p = log_probabilities(outputs);
  const std::uint64_t key = Rng(in.seed, "zrf_mb").key();
  std::vector<double> p(classes), q(classes);
  double sum = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto row = std::span(log_p).subspan(i * classes, classes);
    for (std::size_t k = 0; k < classes; ++k) p[k] = std::exp(row[k]);
    const double p_log_p = -stat::entropy(row);
    for (std::uint64_t repeat = 0; repeat < kRepeats; ++repeat) {
      double js = 0.5 * (p_log_p + uniform_softmax(key, static_cast<std::uint64_t>(ids[i]), repeat, q));
      for (std::size_t k = 0; k < classes; ++k) {
        const double m = 0.5 * (p[k] + q[k]);
        js -= m * std::log(m);
      }
      sum += js;
    }
  }
  return 1 - sum / (static_cast<double>(ids.size()) * static_cast<double>(kRepeats));
}

std::vector<Value> compute(const Inputs& in) {
  return {{"zrf", zrf(in, "forget", "forget")},
          {"zrf_test", zrf(in, "test_sample", "test_sample")},
          {"zrf_mb", zrf_noise(in)}};
}

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

}  // namespace zrf
}  // namespace expunge::metrics
