// One store file of a sweep's folder and what it holds.
#pragma once

#include <string>

#include "board/settings_text.hpp"
#include "store/store_file.hpp"

namespace expunge::board {

struct Found {
  std::string file;   // relative to the scanned folder
  std::string state;  // "" = readable; corrupt | foreign
  std::string reason;
  store::RowHeader header;  // its row in the order of the wanted columns; without config_json, which is
  SettingsText settings;    // here
};

}  // namespace expunge::board
