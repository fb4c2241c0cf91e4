// The axes of the taxonomy, for tables that group methods by one of them.
#pragma once

#include <string>
#include <vector>

#include "methods/method.hpp"

namespace expunge::methods {

inline const std::vector<std::string> kTaxonomyAxes = {"measure", "corrupt", "retain", "parameters"};

// What a method has on an axis; "" for another name.
inline std::string at_axis(const Taxonomy& taxonomy, const std::string& axis) {
  return axis == "measure"      ? taxonomy.measure
         : axis == "corrupt"    ? taxonomy.corrupt
         : axis == "retain"     ? taxonomy.retain
         : axis == "parameters" ? taxonomy.parameters
                                : "";
}

}  // namespace expunge::methods
