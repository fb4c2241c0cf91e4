// A plan for those who count, price and look for cells, but run none.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sweep/sweep.hpp"

namespace expunge::sweep {

// As `load`, with the same ids, but the cells' `settings` stay empty: they are most of the memory and of the
// time of a large sweep.
Plan load_outline(const std::filesystem::path& job, const std::vector<std::string>& overrides = {});

}  // namespace expunge::sweep
