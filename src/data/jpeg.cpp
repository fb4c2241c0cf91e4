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
struct Decoder {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  std::jmp_buf jump{};
  char message[JMSG_LENGTH_MAX] = "";
  bool damaged = false;

  ~Decoder() { jpeg_destroy_decompress(&jpeg); }
};

void keep_message(j_common_ptr jpeg) {
  auto* d = static_cast<Decoder*>(jpeg->client_data);
  if (!d->damaged) jpeg->err->format_message(jpeg, d->message);
  d->damaged = true;
}

[[noreturn]] void on_error(j_common_ptr jpeg) {
  keep_message(jpeg);
  std::longjmp(static_cast<Decoder*>(jpeg->client_data)->jump, 1);
}

// libjpeg fills in for damaged data with a warning. Only warnings that leave every pixel intact pass.
void on_message(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  const int code = jpeg->err->msg_code;
  if (code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR) keep_message(jpeg);
}

void on_output(j_common_ptr) {}

// Only plain data in here: a longjmp skips destructors.
bool read_header(Decoder& d, std::string_view bytes, bool grey, Image& out) {
  if (setjmp(d.jump)) return false;
  jpeg_create_decompress(&d.jpeg);
  jpeg_mem_src(&d.jpeg, reinterpret_cast<const unsigned char*>(bytes.data()),
               static_cast<unsigned long>(bytes.size()));
  jpeg_read_header(&d.jpeg, TRUE);
  if (d.jpeg.jpeg_color_space == JCS_CMYK || d.jpeg.jpeg_color_space == JCS_YCCK) {
    std::snprintf(d.message, sizeof d.message, "CMYK colours are not supported");
    return false;
  }
  // An RGB-coded file has no luma channel: it stays RGB here.
  grey = d.jpeg.jpeg_color_space == JCS_GRAYSCALE || (grey && d.jpeg.jpeg_color_space == JCS_YCbCr);
  d.jpeg.out_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
  d.jpeg.dct_method = JDCT_ISLOW;
  out.channels = grey ? 1 : 3;
  out.height = d.jpeg.image_height;
  out.width = d.jpeg.image_width;
  return true;
}

bool read_pixels(Decoder& d, Image& out) {
  if (setjmp(d.jump)) return false;
  jpeg_start_decompress(&d.jpeg);
  while (d.jpeg.output_scanline < d.jpeg.output_height) {
    JSAMPROW row = out.pixels.data() + static_cast<std::size_t>(d.jpeg.output_scanline) *
                                           static_cast<std::size_t>(out.width * out.channels);
    jpeg_read_scanlines(&d.jpeg, &row, 1);
  }
  jpeg_finish_decompress(&d.jpeg);
  return !d.damaged;
}

}  // namespace

std::string decode_jpeg(std::string_view bytes, bool shape_only, bool grey, Image& out) {
  Decoder d;
  d.jpeg.err = jpeg_std_error(&d.errors);
  d.errors.error_exit = on_error;
  d.errors.emit_message = on_message;
  d.errors.output_message = on_output;
  d.jpeg.client_data = &d;
  if (!read_header(d, bytes, grey, out)) return d.message;
  if (out.height > kMostPixelsASide || out.width > kMostPixelsASide) return "image too large";
  if (shape_only) return "";
  out.pixels.resize(static_cast<std::size_t>(out.height * out.width * out.channels));
  return read_pixels(d, out) ? "" : d.message;
}

}  // namespace expunge::data
