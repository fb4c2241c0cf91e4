// The two codecs behind image_file.hpp. They decode `bytes` into `out` in the file's own channel count (with
// `shape_only` they fill the sizes alone) and return an empty text, or what is wrong.
#pragma once

#include <string>
#include <string_view>

#include "data/image_file.hpp"

namespace expunge::data {

std::string decode_png(std::string_view bytes, bool shape_only, Image& out);
// `grey`: take the luma channel of a colour file.
std::string decode_jpeg(std::string_view bytes, bool shape_only, bool grey, Image& out);

}  // namespace expunge::data
