// Plain-text tables on standard output.
#pragma once

#include <string>
#include <vector>

namespace expunge::cli {

// The first row is the header. Columns are as wide as their widest cell, two spaces apart; columns of numbers
// stand right.
std::string text_table(const std::vector<std::vector<std::string>>& rows, const std::string& indent = "");

}  // namespace expunge::cli
