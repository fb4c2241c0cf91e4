#include <cstddef>
#include <cstdio>

#include <jerror.h>
#include <jpeglib.h>

#include <csetjmp>

#include "data/image_codecs.hpp"

namespace expunge::data {
namespace {

// libjpeg reports errors by longjmp: everything that owns memory lives outside the function that sets the
// jump.
struct JpegDecoder {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  std::jmp_buf jump{};
  char message[JMSG_LENGTH_MAX] = "";
  bool damaged = false;
  std::vector<std::uint8_t> inks;  // a row of CMYK

  ~JpegDecoder() { jpeg_destroy_decompress(&jpeg); }
};

void keep_message(j_common_ptr jpeg) {
  auto* d = static_cast<JpegDecoder*>(jpeg->client_data);
  if (!d->damaged) jpeg->err->format_message(jpeg, d->message);
  d->damaged = true;
}

[[noreturn]] void on_error(j_common_ptr jpeg) {
  keep_message(jpeg);
  std::longjmp(static_cast<JpegDecoder*>(jpeg->client_data)->jump, 1);
}

// libjpeg fills in for damaged data with a warning. Only warnings that leave every pixel intact pass.
void on_message(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  const int code = jpeg->err->msg_code;
  if (code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR) keep_message(jpeg);
}

void on_output(j_common_ptr) {}

// Only plain data in here: a longjmp skips destructors.
bool read_jpeg_header(JpegDecoder& d, std::string_view bytes, bool grey, Image& out) {
  if (setjmp(d.jump)) return false;
  jpeg_create_decompress(&d.jpeg);
  jpeg_mem_src(&d.jpeg, reinterpret_cast<const unsigned char*>(bytes.data()),
               static_cast<unsigned long>(bytes.size()));
  jpeg_read_header(&d.jpeg, TRUE);
  const bool inks = d.jpeg.jpeg_color_space == JCS_CMYK || d.jpeg.jpeg_color_space == JCS_YCCK;
  // An RGB-coded file has no luma channel: it stays RGB here.
  grey = d.jpeg.jpeg_color_space == JCS_GRAYSCALE || (grey && d.jpeg.jpeg_color_space == JCS_YCbCr);
  d.jpeg.out_color_space = inks ? JCS_CMYK : grey ? JCS_GRAYSCALE : JCS_RGB;
  d.jpeg.dct_method = JDCT_ISLOW;
  out.channels = grey ? 1 : 3;
  out.height = d.jpeg.image_height;
  out.width = d.jpeg.image_width;
  return true;
}

// Adobe's files hold 255 - ink. The product of what the black and a colour let through, as Pillow rounds it.
void to_rgb(const std::uint8_t* inverted, std::int64_t width, std::uint8_t* rgb) {
  for (std::int64_t x = 0; x < width; ++x, inverted += 4)
    for (int c = 0; c < 3; ++c) {
      const int light = inverted[3], product = (255 - inverted[c]) * light + 128;
      *rgb++ = static_cast<std::uint8_t>(light - (((product >> 8) + product) >> 8));
    }
}

bool read_jpeg_pixels(JpegDecoder& d, Image& out) {
  if (setjmp(d.jump)) return false;
  jpeg_start_decompress(&d.jpeg);
  while (d.jpeg.output_scanline < d.jpeg.output_height) {
    std::uint8_t* pixels = out.pixels.data() + static_cast<std::size_t>(d.jpeg.output_scanline) *
                                                   static_cast<std::size_t>(out.width * out.channels);
    JSAMPROW row = d.inks.empty() ? pixels : d.inks.data();
    jpeg_read_scanlines(&d.jpeg, &row, 1);
    if (!d.inks.empty()) to_rgb(row, out.width, pixels);
  }
  jpeg_finish_decompress(&d.jpeg);
  return !d.damaged;
}

}  // namespace

std::string decode_jpeg(std::string_view bytes, bool shape_only, bool grey, Image& out) {
  JpegDecoder d;
  d.jpeg.err = jpeg_std_error(&d.errors);
  d.errors.error_exit = on_error;
  d.errors.emit_message = on_message;
  d.errors.output_message = on_output;
  d.jpeg.client_data = &d;
  if (!read_jpeg_header(d, bytes, grey, out)) return d.message;
  if (out.height > kMostPixelsASide || out.width > kMostPixelsASide) return "image too large";
  if (shape_only) return "";
  out.pixels.resize(static_cast<std::size_t>(out.height * out.width * out.channels));
  if (d.jpeg.out_color_space == JCS_CMYK) d.inks.resize(static_cast<std::size_t>(out.width) * 4);
  return read_jpeg_pixels(d, out) ? "" : d.message;
}

}  // namespace expunge::data
