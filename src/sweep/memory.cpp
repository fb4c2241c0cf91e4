#include "sweep/memory.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "models/activations.hpp"
#include "models/trainable.hpp"
#include "sweep/sections.hpp"

namespace expunge::sweep {
namespace {

using nlohmann::json;

constexpr double kFloat = sizeof(float);
// Resident set of a rank after start, without data and models: measured with LibTorch 2.11 and Open MPI.
constexpr double kProcess = 205e6;
// A grain's freed blocks do not fit the next one's exactly: measured share of the heap.
constexpr double kLost = 0.15;
// Of what layers keep, in bf16: matrices' inputs are halves, norms and probabilities stay whole.
constexpr double kMixed = 0.75;

// A table of embeddings: its gradient is as long as itself, and apart from the buffer of all gradients.
double largest_table(const json& config) {
  const auto number = [&](const char* key) {
    const auto found = config.find(key);
    return found != config.end() && found->is_number_integer() ? found->get<double>() : 0.0;
  };
  double width = number("embedding_size");
  for (const char* key : {"hidden_size", "dim"})
    if (width == 0) width = number(key);
  return number("vocab_size") * width;
}

// Bytes of a mapped side of which so many samples are read, spread over it: a page that is read brings its
// neighbours, 64 KiB at a time.
double touched(std::int64_t read, std::int64_t all, const data::Info& info) {
  const auto bytes = static_cast<double>(data::sample_bytes(info) + 8), n = static_cast<double>(read),
             whole = static_cast<double>(std::max(read, all));
  if (whole == 0) return 0;
  constexpr double kNeighbours = 65536;
  return whole * bytes * (1 - std::pow(1 - n / whole, 1 + kNeighbours / bytes));
}

double states_of(const json& optimizer) {
  if (optimizer.at("name") != "sgd") return 2;
  return optimizer.at("momentum").get<double>() > 0 ? 1 : 0;
}

struct Lengths {
  double all, trained;  // numbers of parameters
};

Lengths lengths_of(const Base& base, const json& options) {
  const auto trainable =
      models::resolve_trainable(options.value("trainable", "all"), *base.descriptor, base.model_config);
  const auto all = static_cast<double>(base.parameters);
  if (trainable.kind == models::Trainable::Kind::kAll) return {all, all};
  const auto trained = static_cast<double>(trainable.parameters);
  return {trainable.kind == models::Trainable::Kind::kLora ? all + trained : all, trained};
}

// Of all samples that are evaluated: a summary and 16 bytes of id and label.
double outputs_of(const Base& base, const data::SplitSizes& sizes) {
  const auto width = static_cast<double>(std::max<std::int64_t>(1, base.info.task_classes()));
  return static_cast<double>(sizes.train + sizes.val + sizes.test) * (width * kFloat + 16);
}

}  // namespace

double Memory::gradients(std::int64_t ranks) const {
  if (grains == 0) return 0;
  const auto owned = static_cast<std::uint64_t>((grains + ranks - 1) / ranks);
  // Every second grain is added to the one before it without a buffer of its own.
  return leaf * static_cast<double>(std::max(1, static_cast<int>(std::bit_width(owned - 1)))) + scratch;
}

double Memory::optimizer_of(std::int64_t ranks) const {
  constexpr double kLeast = 4 * 65536 * kFloat;  // of a rank's slice (comm/ordered_sum.cpp)
  return leaf / static_cast<double>(ranks) >= kLeast ? optimizer / static_cast<double>(ranks) : optimizer;
}

double Memory::total(std::int64_t ranks) const {
  const double heap = outputs + parameters + gradients(ranks) + optimizer_of(ranks) + copies + activations;
  return process + data + heap * (1 + kLost);
}

Memory memory_of_run(const Base& base, const json& options, const data::SplitSizes& sizes, double copies,
                     bool recompute_blocks) {
  const auto [all, trained] = lengths_of(base, options);
  const auto batch = options.at("batch").get<std::int64_t>(),
             grain = std::min(batch, options.at("grain").get<std::int64_t>());
  const bool mixed = options.value("precision", "fp32") == "bf16";
  const auto a =
      models::activations_of(*base.descriptor, base.model_config, base.info.height, base.info.width);
  const double input =
      static_cast<double>(std::max<std::int64_t>(1, base.info.channels) * base.info.height * base.info.width);
  const double outputs = outputs_of(base, sizes);

  Memory training;
  training.process = kProcess;
  training.data = touched(sizes.train + sizes.val, base.info.train_size, base.info) +
                  touched(sizes.test, base.info.test_size, base.info);
  training.outputs = outputs;
  training.parameters = all * (kFloat + (mixed ? 2 : 0));
  training.leaf = trained * kFloat;
  training.scratch = trained == all ? largest_table(base.model_config) * kFloat : 0;
  training.optimizer = trained * kFloat * states_of(options.at("optimizer"));
  training.copies = copies * all * kFloat;
  training.activations =
      static_cast<double>(grain) * kFloat *
      ((recompute_blocks ? a.recomputed : a.kept) * (mixed ? kMixed : 1) + a.moving + 2 * input);
  training.grains = (batch + grain - 1) / grain;
  // Twice, as it is collected and as it is described.
  training.checkpoint = 2 * (training.parameters + training.optimizer + training.copies);

  Memory evaluation = training;
  evaluation.outputs = 5 * outputs;
  evaluation.copies = all * kFloat;
  evaluation.leaf = evaluation.scratch = evaluation.optimizer = evaluation.checkpoint = 0;
  evaluation.grains = 0;
  evaluation.activations =
      static_cast<double>(base.evaluate.at("grain").get<std::int64_t>()) * kFloat * (a.moving + 2 * input);
  return evaluation.total(1) > training.total(1) ? evaluation : training;
}

json to_json(const Memory& m, std::int64_t ranks) {
  return {{"process", m.process},
          {"data", m.data},
          {"outputs", m.outputs},
          {"parameters", m.parameters},
          {"gradients", m.gradients(ranks)},
          {"optimizer", m.optimizer_of(ranks)},
          {"copies", m.copies},
          {"activations", m.activations},
          {"checkpoint", m.checkpoint},
          {"total", m.total(ranks)}};
}

}  // namespace expunge::sweep
