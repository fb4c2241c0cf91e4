// Samples of a data set of texts as grains: "input_ids" and "attention_mask" [n, tokens] int64, padded behind
// to the data set's length, so that a sample costs the same in every grain; where a grain has second texts
// "token_type_ids" [n, tokens], 1 for these. Labels: the class [n], or for
// causal_lm the tokens [n, tokens] with tasks::kIgnored at the prompt and the padding.
#pragma once

#include "data/dataset.hpp"
#include "engine/sample_source.hpp"
#include "tasks/answers.hpp"

namespace expunge {

class TextSource : public SampleSource {
 public:
  TextSource(const data::Dataset& dataset, data::Side side, torch::Device device)
      : dataset_(dataset), side_(side), device_(device) {}

  void load(const std::vector<std::int64_t>& ids, std::int64_t pass, Batch& into) const override;

 private:
  const data::Dataset& dataset_;
  data::Side side_;
  torch::Device device_;
};

// The answers of these training samples, and refusals, as tokens. `dataset` outlives them.
tasks::Answers answers_of(const data::Dataset& dataset, std::vector<std::int64_t> retain);

}  // namespace expunge
