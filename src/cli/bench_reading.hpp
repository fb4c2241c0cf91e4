// `expunge bench tokenize` and `expunge bench images`: reading samples, on one thread.
#pragma once

#include <cstdint>
#include <filesystem>

namespace expunge::cli {

// Texts (a line each) through the tokenizer of a Hugging Face folder, cut at `longest` tokens (0 = whole):
// the best of `rounds` passes.
int bench_tokenize(const std::filesystem::path& tokenizer, const std::filesystem::path& texts,
                   std::int64_t longest, std::int64_t rounds);

// PNG and JPEG files of a folder: decoded to RGB, resized to size x size (bicubic): the best of `rounds`
// passes.
int bench_images(const std::filesystem::path& folder, std::int64_t size, std::int64_t rounds);

}  // namespace expunge::cli
