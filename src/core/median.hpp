// The middle of a list of measurements.
#pragma once

#include <vector>

namespace expunge {

// Mean of the two middle values where their number is even; NaN without values.
double median(std::vector<double> values);

}  // namespace expunge
