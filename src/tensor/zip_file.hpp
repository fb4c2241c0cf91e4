// ZIP archives as torch.save writes them: entries that are stored, not compressed; Zip64 where they are
// large.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace expunge::tensor {

// Name -> bytes, views into `archive`. DataError 65 with `place`: no archive, compressed or encrypted
// entries, entries outside the file, names that appear twice.
std::map<std::string, std::string_view> read_zip(std::string_view archive, const std::string& place);

}  // namespace expunge::tensor
