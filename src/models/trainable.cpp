#ifndef EXPUNGE_ENGINE
#include "models/trainable.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/error.hpp"
#include "core/text.hpp"

namespace expunge::models {
namespace {

// Families for which `has` is set, for messages.
template <class Has>
std::string families(Has has) {
  std::vector<std::string> out;
  for (const auto* d : descriptors())
    if (has(*d)) out.push_back(d->family);
  return out.empty() ? "no family here has" : "families that have: " + join(out, ", ");
}

Trainable fusion_of(const Descriptor& d, const nlohmann::json& config) {
  if (d.fusion.empty())
    throw ConfigError(fmt::format("\"fusion\" needs a module that joins modalities, {} has none; {}",
                                  d.family, families([](const Descriptor& x) { return !x.fusion.empty(); })));
  Trainable out;
  out.kind = Trainable::Kind::kFusion;
  out.prefixes = d.fusion;
  out.parameters = d.fusion_parameters(config);
  out.share = static_cast<double>(out.parameters) / static_cast<double>(d.parameters(config));
  return out;
}

// The number between `prefix` and `suffix`, or a negative one.
double number_in(const std::string& text, const std::string& prefix, const std::string& suffix) {
  if (text.size() <= prefix.size() + suffix.size() || text.rfind(prefix, 0) != 0 ||
      text.compare(text.size() - suffix.size(), suffix.size(), suffix) != 0)
    return -1;
  const std::string digits = text.substr(prefix.size(), text.size() - prefix.size() - suffix.size());
  char* end = nullptr;
  const double value = std::strtod(digits.c_str(), &end);
  return *end == 0 && std::isfinite(value) ? value : -1;
}

Trainable lora_of(const std::string& text, const Descriptor& d, const nlohmann::json& config) {
  const double percent = number_in(text, "lora:", "%"), rank = number_in(text, "lora:r=", "");
  const bool by_share = percent > 0 && percent < 100,
             by_rank = rank >= 1 && rank <= 1e6 && rank == std::floor(rank);
  if (!by_share && !by_rank)
    throw ConfigError(fmt::format(
        "expected all, fusion, lora:P% with 0 < P < 100 or lora:r=N with N >= 1, got \"{}\"", text));
  if (!d.projections)
    throw ConfigError(
        fmt::format("\"{}\" needs query and value projections, {} has none; {}", text, d.family,
                    families([](const Descriptor& x) { return static_cast<bool>(x.projections); })));
  Trainable out;
  out.kind = Trainable::Kind::kLora;
  out.prefixes = d.head;
  out.projections = d.projections(config);
  std::int64_t sides = 0;
  for (const auto& p : out.projections) sides += p.in + p.out;
  const auto base = static_cast<double>(d.parameters(config));
  const double x = percent / 100;
  out.rank = by_rank
                 ? static_cast<std::int64_t>(rank)
                 : std::max<std::int64_t>(1, std::llround(x / (1 - x) * base / static_cast<double>(sides)));
  const auto adapters = static_cast<double>(out.rank * sides);
  out.share = adapters / (base + adapters);
  out.parameters = out.rank * sides + d.head_parameters(config);
  return out;
}

}  // namespace

bool Trainable::trains(const std::string& tensor) const {
  if (kind == Kind::kAll) return true;
  if (kind == Kind::kLora && tensor.find(".lora_") != std::string::npos) return true;
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return tensor.rfind(prefix, 0) == 0; });
}

Trainable resolve_trainable(const std::string& text, const Descriptor& descriptor,
                            const nlohmann::json& config) {
  if (text == "fusion") return fusion_of(descriptor, config);
  if (text != "all") return lora_of(text, descriptor, config);
  Trainable out;
  out.parameters = descriptor.parameters(config);
  return out;
}

Cost cost_of(const Descriptor& descriptor, const nlohmann::json& config, std::int64_t height,
             std::int64_t width, const Trainable& trainable) {
  switch (trainable.kind) {
    case Trainable::Kind::kFusion:
      return descriptor.fusion_cost(config, height, width);
    case Trainable::Kind::kLora:
      return descriptor.lora_cost(config, height, width, trainable.rank);
    default:
      return descriptor.cost(config, height, width);
  }
}

}  // namespace expunge::models
#endif
