// The curriculum of a run: SuperLoss weights for the samples of each term, with one state per term and
// stream. The state follows the losses of whole steps, so it is the same on every rank.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "config/train_options.hpp"
#include "tensor/torch.hpp"

namespace expunge {

inline constexpr std::size_t kMostTerms = 4;  // of a grain, where a curriculum weighs them

// What one term of a grain adds to the state: sum of losses, number of samples, sum of weights, and 1 when
// there is such a term.
struct LossSums {
  double loss = 0, count = 0, weight = 0, present = 0;
};

class Curriculum {
 public:
  Curriculum(const config::TrainOptions& options, std::int64_t classes)
      : options_(options), classes_(classes) {}
  bool active() const { return options_.curriculum != "none"; }
  // False while a term of the stream has met no sample: the mean loss of its first step must be known before
  // the step is weighed and run.
  bool started(const std::string& source) const;
  // From the losses of such a step.
  void start(const std::string& source, const std::vector<LossSums>& terms);
  // Weights [n] of the losses [n] of a term, on their device; adds to `sums` and `value` (the sum of
  // SuperLoss) the samples where `wanted` [n] is above 0.5 (undefined: all).
  torch::Tensor weights(const std::string& source, std::size_t term, const torch::Tensor& losses,
                        const torch::Tensor& wanted, LossSums& sums, double& value) const;
  void add(const std::string& source, const std::vector<LossSums>& terms);  // once a step
  nlohmann::json state() const;
  void restore(const nlohmann::json& state);

 private:
  double tau(const std::string& source, std::size_t term) const;
  struct Term {
    LossSums total;
    double first = 0, exponential = 0;
    bool seen() const { return total.present == 0 || first_known; }
    bool first_known = false;
  };
  config::TrainOptions options_;
  std::int64_t classes_;
  std::map<std::string, std::vector<Term>> streams_;
};

}  // namespace expunge
