// Common corruptions of images (Hendrycks & Dietterich, ICLR 2019), in the strengths published for CIFAR-10-C
// and CIFAR-100-C. Made here by that definition with keyed draws: never the published files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace expunge::data {

// gaussian_noise, shot_noise, impulse_noise, speckle_noise, gaussian_blur, contrast, brightness
const std::vector<std::string>& corruption_names();

// "NAME:SEVERITY", severity 1 to 5, or "mixed": every image gets one of the 35 by a keyed draw, so that an
// accuracy over them estimates the mean over all corruptions and severities.
bool is_corruption(const std::string& text);

// Corrupts `count` images [C, H, W] in place; C is 1 or 3. A pure function of the pixels, the position of the
// image and the corruption. Requires is_corruption(text).
void corrupt(const std::string& text, std::int64_t count, std::int64_t channels, std::int64_t height,
             std::int64_t width, std::uint8_t* pixels);

}  // namespace expunge::data
