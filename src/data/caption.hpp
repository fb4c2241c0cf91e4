// Image-caption pairs as bytes: how a reader packs a sample and what it makes of a caption.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "data/image_file.hpp"

namespace expunge::data {

// Lower-case words (letters and digits), each hashed to 1 .. vocabulary-1 (Weinberger et al. 2009), at most
// `tokens` of them, then zeros. No vocabulary file, so the ids depend on the caption alone.
std::vector<std::uint16_t> hash_words(const std::string& caption, std::int64_t tokens,
                                      std::int64_t vocabulary);

// Mean of the source pixels that each target pixel covers, weighted by the area covered; rounded half up.
// [H, W, C] -> [C, height, width].
std::vector<std::uint8_t> resize_area(const Image& image, std::int64_t height, std::int64_t width);

// Appends a sample (sample_bytes of `info`).
void append_pair(const Info& info, const std::vector<std::uint8_t>& pixels,
                 const std::vector<std::uint16_t>& tokens, std::int64_t image, std::int64_t captioned,
                 std::vector<std::uint8_t>& out);

}  // namespace expunge::data
