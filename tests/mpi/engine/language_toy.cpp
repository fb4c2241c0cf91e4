// The toy of a language model: the real family and task, at the smallest size.
#include "tasks/answers.hpp"
#include "tests/mpi/engine/toys.hpp"

namespace expunge::test {
namespace {

constexpr std::int64_t kTokens = 7, kVocabulary = 12, kEnd = 1, kPrompt = 2;

// A text's tokens: a prompt of two, an answer of one to four, and an end.
std::vector<std::int64_t> text(std::int64_t id) {
  const Rng rng = Rng(11, "text").sub(static_cast<std::uint64_t>(id));
  std::vector<std::int64_t> out;
  const auto answer = static_cast<std::int64_t>(1 + rng.below(4, 0));
  for (std::int64_t t = 0; t < kPrompt + answer; ++t)
    out.push_back(
        static_cast<std::int64_t>(2 + rng.below(kVocabulary - 2, static_cast<std::uint64_t>(t + 1))));
  out.push_back(kEnd);
  return out;
}

class Texts : public Rows {
 public:
  explicit Texts(std::int64_t count)
      : Rows("none", torch::zeros({count, 1}), torch::zeros({count}, torch::kLong)) {}
  void load(const std::vector<std::int64_t>& ids, std::int64_t, Batch& into) const override {
    const auto n = static_cast<std::int64_t>(ids.size());
    torch::Tensor tokens = torch::zeros({n, kTokens}, torch::kLong), mask = torch::zeros_like(tokens),
                  labels = torch::full_like(tokens, tasks::kIgnored);
    for (std::int64_t i = 0; i < n; ++i) {
      const auto row = text(ids[static_cast<std::size_t>(i)]);
      for (std::int64_t t = 0; t < std::ssize(row); ++t) {
        tokens[i][t] = row[static_cast<std::size_t>(t)];
        mask[i][t] = 1;
        if (t >= kPrompt) labels[i][t] = row[static_cast<std::size_t>(t)];
      }
    }
    into.inputs = {{"input_ids", tokens}, {"attention_mask", mask}};
    into.labels = labels;
    loaded.push_back(ids);
  }
};

}  // namespace

Toy language_toy(std::int64_t forget, std::int64_t retain) {
  Toy toy;
  const std::int64_t n = forget + retain + kUnseen;
  const nlohmann::json config{{"model_type", "llama"},    {"vocab_size", kVocabulary},
                              {"hidden_size", 8},         {"intermediate_size", 12},
                              {"num_hidden_layers", 1},   {"num_attention_heads", 2},
                              {"num_key_value_heads", 1}, {"initializer_range", 0.3}};
  toy.make = [config] { return models::build(config); };
  tasks::Answers answers;
  answers.donors = retain;
  answers.donor = [forget](std::int64_t place) {
    const auto row = text(forget + place);
    return std::vector<std::int64_t>(row.begin() + kPrompt, row.end());
  };
  answers.refusals = {{5, 6, kEnd}, {7, kEnd}};
  toy.task = tasks::make_causal_lm(kVocabulary, answers);
  toy.samples = std::make_shared<Texts>(n);
  for (std::int64_t i = 0; i < n; ++i)
    (i < forget ? toy.forget : i < forget + retain ? toy.retain : toy.unseen).push_back(i);
  return toy;
}

}  // namespace expunge::test
