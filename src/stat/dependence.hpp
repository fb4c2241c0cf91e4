// Conditional dependence by nearest neighbours, and the selection of features built on it (Azadkia and
// Chatterjee 2021, FOCI).
#pragma once

#include <cstdint>
#include <vector>

namespace expunge::stat {

// Columns of numbers about the same n samples: `values` is [n, width], row by row.
struct Columns {
  const float* values = nullptr;
  std::int64_t n = 0, width = 0;
};

// T(y, x): 0 for independence, 1 when y is a function of x (in the limit). Columns are standardised before
// distances are taken; equally near neighbours go to the smaller index. `columns`: which columns are x.
double dependence(const std::vector<double>& y, const Columns& x, const std::vector<std::int64_t>& columns);

// T(y, column | given): how much the column tells about y beyond the given ones. `given` is not empty.
double conditional_dependence(const std::vector<double>& y, const Columns& x, std::int64_t column,
                              const std::vector<std::int64_t>& given);

// Columns chosen one by one, each the one that tells most beyond those before, until none tells anything more
// or `most` are chosen. Constant columns are never chosen. Costs most * width * n^2.
std::vector<std::int64_t> select_by_dependence(const std::vector<double>& y, const Columns& x,
                                               std::int64_t most);

}  // namespace expunge::stat
