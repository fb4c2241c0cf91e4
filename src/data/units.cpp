#include "data/units.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.hpp"
#include "core/rng.hpp"
#include "data/split.hpp"

namespace expunge::data {
namespace {

using Ids = std::vector<std::int64_t>;
using Unit = std::pair<std::int64_t, std::int64_t>;

// The unit that a sample belongs to: one image, or the two ends of a pair.
Unit unit_of(const Dataset& dataset, const std::string& unit, std::int64_t id) {
  if (unit == "class") return {dataset.label(Side::kTrain, id), 0};
  const std::int64_t first = image_of(dataset, Side::kTrain, id);
  return {first, unit == "image" ? 0 : captioned_image(dataset, Side::kTrain, id)};
}

// Numbers of units: of classes and images their own, which a limit on samples leaves alone; of pairs their
// place among all pairs of the training side.
std::map<Unit, std::int64_t> numbers_of(const Dataset& dataset, const std::string& unit, const Ids& order) {
  std::map<Unit, std::int64_t> out;
  if (unit == "class") {
    for (std::int64_t c = 0; c < dataset.info().classes; ++c) out[{c, 0}] = c;
  } else if (unit == "image") {
    for (const auto id : order) {
      const Unit image = unit_of(dataset, unit, id);
      out[image] = image.first;
    }
  } else {
    for (std::int64_t id = 0; id < dataset.size(Side::kTrain); ++id) out[unit_of(dataset, unit, id)] = 0;
    std::int64_t number = 0;
    for (auto& [pair, own] : out) own = number++;
  }
  return out;
}

}  // namespace

std::vector<std::int64_t> part_sizes(const DataOptions& options, std::int64_t forget) {
  std::vector<std::int64_t> out;
  double share = 0;
  std::int64_t before = 0;
  for (std::size_t j = 0; j < options.requests.size(); ++j) {
    share += options.requests[j];
    const bool last = j + 1 == options.requests.size();
    const auto end =
        last ? forget : static_cast<std::int64_t>(std::floor(share * static_cast<double>(forget) + 1e-6));
    if (end == before && forget > 0)
      throw ConfigError(fmt::format("data.requests: request {} of {} has none of the {} samples of D_f",
                                    j + 1, options.requests.size(), forget));
    out.push_back(end - before);
    before = end;
  }
  return out;
}

std::vector<Ids> parts_of(const Dataset& dataset, const DataOptions& options, const Ids& forget) {
  const auto together = [&](std::size_t a, std::size_t b) {
    return options.unit != "sample" &&
           unit_of(dataset, options.unit, forget[a]) == unit_of(dataset, options.unit, forget[b]);
  };
  std::vector<Ids> out;
  std::size_t begin = 0, planned = 0;
  for (const auto size : part_sizes(options, static_cast<std::int64_t>(forget.size()))) {
    planned += static_cast<std::size_t>(size);
    std::size_t end = std::max(begin, planned);
    while (end > begin && end < forget.size() && together(end - 1, end)) ++end;
    if (end == begin && !forget.empty())
      throw ConfigError(fmt::format("data.requests: request {} of {} has no {} of its own", out.size() + 1,
                                    options.requests.size(), options.unit));
    out.emplace_back(forget.begin() + static_cast<std::ptrdiff_t>(begin),
                     forget.begin() + static_cast<std::ptrdiff_t>(end));
    std::sort(out.back().begin(), out.back().end());
    begin = end;
  }
  return out;
}

void require_unit(const Info& info, const std::string& unit) {
  if (unit == "sample" || (unit == "class" && info.classes > 0)) return;
  if (std::find(info.units.begin(), info.units.end(), unit) != info.units.end()) return;
  std::string have = "sample";
  if (info.classes > 0) have += ", class";
  for (const auto& own : info.units) have += ", " + own;
  throw ConfigError(
      fmt::format("data.unit = \"{}\": {} has no such unit of deletion (have: {})", unit, info.name, have));
}

std::int64_t classes_of(const Ratio& ratio, std::int64_t classes) {
  const std::int64_t whole = ratio.floor_of(classes);
  const bool exact =
      static_cast<__int128>(ratio.numerator) * classes == static_cast<__int128>(whole) * ratio.denominator;
  return exact ? whole : whole + 1;
}

std::int64_t order_by_unit(const Dataset& dataset, const DataOptions& options, const Ratio& ratio,
                           Ids& order) {
  if (options.unit == "sample" || order.empty())
    return ratio.floor_of(static_cast<std::int64_t>(order.size()));
  const auto numbers = numbers_of(dataset, options.unit, order);
  std::int64_t bound = 0;
  for (const auto& [unit, number] : numbers) bound = std::max(bound, number + 1);
  // Places of the units that are there, in keyed order.
  Ids place(static_cast<std::size_t>(bound), -1);
  for (const auto id : order)
    place[static_cast<std::size_t>(numbers.at(unit_of(dataset, options.unit, id)))] = 0;
  if (options.unit == "class") std::fill(place.begin(), place.end(), 0);
  std::int64_t units = 0;
  for (const auto number :
       Rng(static_cast<std::uint64_t>(options.split_seed), "deletion_" + options.unit).permutation(bound))
    if (place[static_cast<std::size_t>(number)] == 0) place[static_cast<std::size_t>(number)] = units++;
  const auto place_of = [&](std::int64_t id) {
    return place[static_cast<std::size_t>(numbers.at(unit_of(dataset, options.unit, id)))];
  };
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return place_of(a) < place_of(b); });
  const std::int64_t chosen = options.unit == "class" ? classes_of(ratio, units) : ratio.floor_of(units);
  return std::count_if(order.begin(), order.end(), [&](auto id) { return place_of(id) < chosen; });
}

}  // namespace expunge::data
