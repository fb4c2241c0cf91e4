// Reference values of metrics.json (scikit-learn, scipy), where the golden folder is at hand: $EXPUNGE_GOLDEN
// or a neighbour of the source tree.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace expunge::test {

inline std::filesystem::path metrics_golden() {
  const char* folder = std::getenv("EXPUNGE_GOLDEN");
  return std::filesystem::path(folder ? folder : EXPUNGE_SOURCE_DIR "/../shared/golden") / "metrics.json";
}

inline nlohmann::json golden_block(const char* name) {
  std::ifstream file(metrics_golden());
  return nlohmann::json::parse(file).at(name);
}

}  // namespace expunge::test

#define EXPUNGE_NEEDS_GOLDEN()                             \
  if (!std::filesystem::exists(test::metrics_golden()))    \
  GTEST_SKIP() << "no " << test::metrics_golden().string() \
               << "; set EXPUNGE_GOLDEN to the folder of the reference values"
