#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>

#include "data/image_codecs.hpp"

namespace expunge::data {
namespace {

// libpng reports errors by longjmp: everything that owns memory lives outside the function that sets the
// jump.
struct PngDecoder {
  std::string_view bytes;
  std::size_t at = 0;
  char message[200] = "";
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::vector<png_bytep> rows;

  ~PngDecoder() {
    if (png) png_destroy_read_struct(&png, &info, nullptr);
  }
};

void on_error(png_structp png, png_const_charp text) {
  auto* decoder = static_cast<PngDecoder*>(png_get_error_ptr(png));
  std::snprintf(decoder->message, sizeof decoder->message, "%s", text);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep to, std::size_t bytes) {
  auto* decoder = static_cast<PngDecoder*>(png_get_io_ptr(png));
  if (bytes > decoder->bytes.size() - decoder->at) png_error(png, "truncated");
  std::memcpy(to, decoder->bytes.data() + decoder->at, bytes);
  decoder->at += bytes;
}

// Only plain data in here: a longjmp skips destructors.
bool read_png_header(PngDecoder& d, Image& out) {
  if (setjmp(png_jmpbuf(d.png))) return false;
  png_set_user_limits(d.png, kMostPixelsASide, kMostPixelsASide);
  png_set_read_fn(d.png, &d, on_read);
  png_read_info(d.png, d.info);
  const int colour = png_get_color_type(d.png, d.info);
  out.channels = colour == PNG_COLOR_TYPE_GRAY || colour == PNG_COLOR_TYPE_GRAY_ALPHA ? 1 : 3;
  out.height = png_get_image_height(d.png, d.info);
  out.width = png_get_image_width(d.png, d.info);
  return true;
}

bool set_transforms(PngDecoder& d) {
  if (setjmp(png_jmpbuf(d.png))) return false;
  png_set_strip_16(d.png);
  png_set_expand(d.png);  // palette, small grey depths, transparency chunk
  png_set_strip_alpha(d.png);
  png_set_interlace_handling(d.png);
  png_read_update_info(d.png, d.info);
  return true;
}

bool read_png_pixels(PngDecoder& d) {
  if (setjmp(png_jmpbuf(d.png))) return false;
  png_read_image(d.png, d.rows.data());
  png_read_end(d.png, nullptr);
  return true;
}

}  // namespace

std::string decode_png(std::string_view bytes, bool shape_only, Image& out) {
  PngDecoder d;
  d.bytes = bytes;
  d.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &d, on_error, on_warning);
  if (d.png) d.info = png_create_info_struct(d.png);
  if (!d.info) return "libpng cannot start";
  if (!read_png_header(d, out)) return d.message;
  if (shape_only) return "";
  if (!set_transforms(d)) return d.message;
  const auto row_bytes = static_cast<std::size_t>(out.width * out.channels);
  if (png_get_rowbytes(d.png, d.info) != row_bytes) return "unsupported sample layout";
  out.pixels.resize(row_bytes * static_cast<std::size_t>(out.height));
  for (std::int64_t y = 0; y < out.height; ++y)
    d.rows.push_back(out.pixels.data() + static_cast<std::size_t>(y) * row_bytes);
  return read_png_pixels(d) ? "" : d.message;
}

}  // namespace expunge::data
