// Fuzzing without a fuzzer: sound inputs, changed a little in ways that a counter decides, go through a
// parser. It may refuse them with an Error; anything else is a failure of the test. EXPUNGE_FUZZ_RUNS sets
// the number of changed inputs (default 1500); EXPUNGE_FUZZ_SEED their seed. The build with sanitizers finds
// more.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/rng.hpp"

namespace expunge::test {

inline std::uint64_t setting(const char* name, std::uint64_t fallback) {
  const char* value = std::getenv(name);
  return value ? std::strtoull(value, nullptr, 10) : fallback;
}

// One to four changes of `seeds[...]`; a pure function of (rng, run).
inline std::string mutated(const std::vector<std::string>& seeds, const Rng& rng, std::uint64_t run) {
  std::uint64_t drawn = 0;
  const auto below = [&](std::uint64_t bound) { return bound == 0 ? 0 : rng.below(bound, run, drawn++); };
  std::string text = seeds[below(seeds.size())];
  for (std::uint64_t changes = 1 + below(4); changes > 0; --changes) {
    const std::size_t at = below(text.size() + 1),
                      length = below(std::min<std::size_t>(text.size() - at, 64) + 1);
    switch (below(7)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
        break;
      case 1:
        if (at < text.size()) text[at] = static_cast<char>(below(256));
        break;
      case 2:
        text.erase(at, length);
        break;
      case 3:
        text.insert(at, text.substr(at, length));
        break;
      case 4:
        text.resize(at);
        break;
      case 5: {  // a number at the edge of its range
        static constexpr std::string_view kEdges[] = {std::string_view("\0\0\0\0\0\0\0\0", 8),
                                                      "\xff\xff\xff\xff\xff\xff\xff\xff",
                                                      "\xff\xff\xff\x7f",
                                                      std::string_view("\0\0\0\x80", 4),
                                                      "9223372036854775807",
                                                      "-1",
                                                      "1e308"};
        const auto edge = kEdges[below(std::size(kEdges))];
        text.replace(at, std::min(edge.size(), text.size() - at), edge);
        break;
      }
      default: {  // a piece of another seed
        const std::string& other = seeds[below(seeds.size())];
        text.insert(at, other.substr(below(other.size() + 1), 1 + below(64)));
      }
    }
  }
  return text;
}

// `parse` sees every seed, which it must accept, and the changed ones.
inline void fuzz(const std::vector<std::string>& seeds, const std::function<void(std::string_view)>& parse) {
  for (const auto& seed : seeds) ASSERT_NO_THROW(parse(seed));
  const std::uint64_t runs = setting("EXPUNGE_FUZZ_RUNS", 1500), seed = setting("EXPUNGE_FUZZ_SEED", 1);
  const Rng rng(seed, "fuzz");
  for (std::uint64_t run = 0; run < runs; ++run) {
    try {
      parse(mutated(seeds, rng, run));
    } catch (const InternalError& error) {
      FAIL() << "run " << run << " of seed " << seed << ": " << error.what();
    } catch (const Error&) {  // refused with a message
    } catch (const std::exception& error) {
      FAIL() << "run " << run << " of seed " << seed << ": " << error.what();
    }
  }
}

}  // namespace expunge::test
