// The tiny network of a family with samples that fit it.
#pragma once

#include "tests/mpi/engine/toys.hpp"
#include "tests/unit/torch/tiny_families.hpp"

namespace expunge::test {

// Rows of several inputs.
class Samples : public Rows {
 public:
  Samples(models::Tensors inputs, torch::Tensor labels)
      : Rows("", torch::zeros({labels.size(0)}), labels), inputs_(std::move(inputs)) {}
  void load(const std::vector<std::int64_t>& ids, std::int64_t pass, Batch& into) const override {
    Rows::load(ids, pass, into);
    into.inputs.clear();
    const torch::Tensor rows = torch::tensor(ids, torch::kLong);
    for (const auto& [name, value] : inputs_) into.inputs[name] = value.index_select(0, rows);
  }

 private:
  models::Tensors inputs_;
};

inline Toy tiny_family_toy(const nlohmann::json& config, std::int64_t forget, std::int64_t retain) {
  Toy toy = conv_toy(forget, retain);
  const std::int64_t n = forget + retain + kUnseen;
  toy.make = [config] { return models::build(config); };
  toy.samples =
      std::make_shared<Samples>(tiny_inputs(config, n), torch::arange(n, torch::kLong).remainder(3));
  toy.grain = 3;
  return toy;
}

}  // namespace expunge::test
