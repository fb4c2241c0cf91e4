// Units of deletion: which samples are forgotten together. A sample stands for itself, belongs to a class,
// or, where the data set says so (Info::units), to an image, a pair of images or an edge of a graph, which
// may have several samples.
//   class: whole classes in a keyed order, the smallest number k with k / classes >= ratio
//   image, image_pair, edge: floor(ratio * units) of them, with every sample about one of them
// Units are forgotten in a keyed order, so D_f of a smaller ratio is contained in that of a larger one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.hpp"

namespace expunge::data {

struct DataOptions;
struct Ratio;

inline const std::vector<std::string> kUnits = {"sample", "class", "image", "image_pair", "edge"};

// ConfigError where the data set has no such unit.
void require_unit(const Info& info, const std::string& unit);

// ceil(ratio * classes): whole classes until their share reaches the ratio.
std::int64_t classes_of(const Ratio& ratio, std::int64_t classes);

// Sorts `order` (training samples in keyed order) so that the samples of a unit stand together, and returns
// the length of the prefix that the ratio asks for.
std::int64_t order_by_unit(const Dataset& dataset, const DataOptions& options, const Ratio& ratio,
                           std::vector<std::int64_t>& order);

// D_f, in deletion order, cut into the options' requests, each ascending: the shares rounded down, and no
// unit in two parts. ConfigError where a part would be empty. Empty without requests.
std::vector<std::vector<std::int64_t>> parts_of(const Dataset& dataset, const DataOptions& options,
                                                const std::vector<std::int64_t>& forget);
// Their sizes for so many samples, where units are single samples.
std::vector<std::int64_t> part_sizes(const DataOptions& options, std::int64_t forget);

}  // namespace expunge::data
