#include "data/caption.hpp"

#include <algorithm>
#include <cctype>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "data/little_endian.hpp"

namespace expunge::data {
namespace {

// The source pixels that target cell i covers, with the lengths covered. In integers: a source pixel is `to`
// long, a target cell `from`.
struct Cover {
  std::int64_t first;
  std::vector<std::int64_t> lengths;
};
std::vector<Cover> covers(std::int64_t from, std::int64_t to) {
  std::vector<Cover> out;
  for (std::int64_t i = 0; i < to; ++i) {
    const std::int64_t begin = i * from, end = begin + from;
    Cover cover{begin / to, {}};
    for (std::int64_t at = cover.first; at * to < end; ++at)
      cover.lengths.push_back(std::min(end, (at + 1) * to) - std::max(begin, at * to));
    out.push_back(std::move(cover));
  }
  return out;
}

const std::uint8_t* behind_pixels(const Dataset& dataset, Side side, std::int64_t id) {
  const Info& info = dataset.info();
  EXPUNGE_CHECK(info.tokens > 0, "the samples of {} have no captions", info.name);
  return dataset.pixels(side, id) + info.channels * info.height * info.width;
}

}  // namespace

std::vector<std::uint16_t> hash_words(const std::string& caption, std::int64_t tokens,
                                      std::int64_t vocabulary) {
  std::vector<std::uint16_t> out;
  std::string word;
  const auto finish = [&] {
    if (!word.empty() && static_cast<std::int64_t>(out.size()) < tokens)
      out.push_back(static_cast<std::uint16_t>(1 + xxh64(word.data(), word.size()) %
                                                       static_cast<std::uint64_t>(vocabulary - 1)));
    word.clear();
  };
  for (const char c : caption) {
    if (std::isalnum(static_cast<unsigned char>(c)))
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    else
      finish();
  }
  finish();
  out.resize(static_cast<std::size_t>(tokens));
  return out;
}

std::vector<std::uint8_t> resize_area(const Image& image, std::int64_t height, std::int64_t width) {
  const auto rows = covers(image.height, height), columns = covers(image.width, width);
  const std::int64_t area = image.height * image.width;  // of a target pixel
  std::vector<std::uint8_t> out(static_cast<std::size_t>(image.channels * height * width));
  for (std::int64_t c = 0; c < image.channels; ++c)
    for (std::int64_t y = 0; y < height; ++y)
      for (std::int64_t x = 0; x < width; ++x) {
        const Cover &row = rows[static_cast<std::size_t>(y)], &column = columns[static_cast<std::size_t>(x)];
        std::int64_t sum = 0;
        for (std::size_t j = 0; j < row.lengths.size(); ++j)
          for (std::size_t i = 0; i < column.lengths.size(); ++i) {
            const auto at = ((row.first + static_cast<std::int64_t>(j)) * image.width + column.first +
                             static_cast<std::int64_t>(i)) *
                                image.channels +
                            c;
            sum += row.lengths[j] * column.lengths[i] * image.pixels[static_cast<std::size_t>(at)];
          }
        out[static_cast<std::size_t>((c * height + y) * width + x)] =
            static_cast<std::uint8_t>((2 * sum + area) / (2 * area));
      }
  return out;
}

void append_pair(const Info& info, const std::vector<std::uint8_t>& pixels,
                 const std::vector<std::uint16_t>& tokens, std::int64_t image, std::int64_t captioned,
                 std::vector<std::uint8_t>& out) {
  const std::size_t before = out.size();
  out.insert(out.end(), pixels.begin(), pixels.end());
  for (const auto token : tokens) {
    out.push_back(static_cast<std::uint8_t>(token & 0xff));
    out.push_back(static_cast<std::uint8_t>(token >> 8));
  }
  for (const auto number : {image, captioned})
    for (int i = 0; i < 4; ++i) out.push_back(static_cast<std::uint8_t>(number >> (8 * i)));
  EXPUNGE_CHECK(static_cast<std::int64_t>(out.size() - before) == sample_bytes(info),
                "a pair of {} has {} bytes, not {}", info.name, out.size() - before, sample_bytes(info));
}

void read_caption(const Dataset& dataset, Side side, std::int64_t id, std::int64_t* tokens) {
  const std::uint8_t* at = behind_pixels(dataset, side, id);
  for (std::int64_t i = 0; i < dataset.info().tokens; ++i, at += 2) tokens[i] = little_endian(at, 2);
}

std::int64_t image_of(const Dataset& dataset, Side side, std::int64_t id) {
  return little_endian(behind_pixels(dataset, side, id) + 2 * dataset.info().tokens, 4);
}

std::int64_t captioned_image(const Dataset& dataset, Side side, std::int64_t id) {
  return little_endian(behind_pixels(dataset, side, id) + 2 * dataset.info().tokens + 4, 4);
}

}  // namespace expunge::data
