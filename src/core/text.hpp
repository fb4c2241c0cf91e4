// Small text helpers used by messages everywhere.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace expunge {

// `; did you mean "scrub"? (have: finetune, neggrad, ...)`: the tail of every message about an unknown name.
// The suggestion is left out when nothing is near; the list is cut after `most` names.
std::string did_you_mean(std::string_view wrong, const std::vector<std::string>& candidates,
                         std::size_t most = 24);

// Damerau-Levenshtein distance (adjacent transposition counts one).
std::size_t edit_distance(std::string_view a, std::string_view b);

std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::vector<std::string> split(std::string_view text, char separator);
std::string human_bytes(double bytes);      // "1.5 GiB"
std::string human_seconds(double seconds);  // "1 h 02 min", "3.4 s"
std::string human_flops(double flops);      // "1.23 TFLOP"

}  // namespace expunge
