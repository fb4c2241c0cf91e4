#include "cli/bench_reading.hpp"

#include <algorithm>
#include <chrono>
#include <functional>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"
#include "data/image_file.hpp"
#include "data/resize.hpp"
#include "data/tokenizers/tokenizer.hpp"

namespace expunge::cli {
namespace {

// Seconds of the fastest of these passes.
double best_of(std::int64_t rounds, const std::function<void()>& pass) {
  double best = 1e300;
  for (std::int64_t i = 0; i < rounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    pass();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

}  // namespace

int bench_tokenize(const fs::path& folder, const fs::path& file, std::int64_t longest, std::int64_t rounds) {
  const auto tokenizer = data::read_tokenizer(folder);
  const auto texts = split(read_file(file), '\n');
  std::size_t bytes = 0, tokens = 0;
  for (const auto& text : texts) bytes += text.size();
  const double seconds = best_of(rounds, [&] {
    tokens = 0;
    for (const auto& text : texts) tokens += tokenizer->encode(text, longest).ids.size();
  });
  fmt::print("{} texts, {:.1f} MB, {} tokens: {:.0f} texts/s, {:.1f} MB/s\n", texts.size(),
             static_cast<double>(bytes) / 1e6, tokens, static_cast<double>(texts.size()) / seconds,
             static_cast<double>(bytes) / 1e6 / seconds);
  return kExitOk;
}

int bench_images(const fs::path& folder, std::int64_t size, std::int64_t rounds) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (at->is_regular_file() && data::is_image_name(at->path())) files.push_back(at->path());
  if (error || files.empty())
    throw DataError::missing(fmt::format("{}: no .png, .jpg or .jpeg files", folder.string()));
  std::sort(files.begin(), files.end());
  std::uint64_t sum = 0;
  const double decode = best_of(rounds, [&] {
    for (const auto& file : files) sum += data::read_image(file, 3).pixels.front();
  });
  const double both = best_of(rounds, [&] {
    for (const auto& file : files)
      sum += data::resize(data::read_image(file, 3), size, size, data::Filter::kBicubic).pixels.front();
  });
  fmt::print("{} images: decoded {:.0f}/s, decoded and resized to {} x {} {:.0f}/s (sum {})\n", files.size(),
             static_cast<double>(files.size()) / decode, size, size, static_cast<double>(files.size()) / both,
             sum);
  return kExitOk;
}

}  // namespace expunge::cli
