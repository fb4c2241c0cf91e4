// PNG and gzip files written by hand (stored deflate blocks), so that readers are tested against the formats'
// definitions and not against the libraries they use.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace expunge::data {

inline std::uint32_t crc32_of(const std::string& bytes) {
  std::uint32_t crc = 0xffffffffu;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

inline std::string big_endian_32(std::uint32_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8),
          static_cast<char>(v)};
}

inline std::string little_endian_32(std::uint32_t v) {
  const std::string b = big_endian_32(v);
  return {b.rbegin(), b.rend()};
}

// One stored block (at most 65,535 bytes).
inline std::string stored_deflate(const std::string& bytes) {
  const std::string length = little_endian_32(static_cast<std::uint32_t>(bytes.size())).substr(0, 2);
  return std::string("\1") + length + static_cast<char>(~length[0]) + static_cast<char>(~length[1]) + bytes;
}

inline std::string gzip_file(const std::string& bytes) {
  return std::string("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10) + stored_deflate(bytes) +
         little_endian_32(crc32_of(bytes)) + little_endian_32(static_cast<std::uint32_t>(bytes.size()));
}

inline std::string png_chunk(const std::string& type, const std::string& data) {
  return big_endian_32(static_cast<std::uint32_t>(data.size())) + type + data +
         big_endian_32(crc32_of(type + data));
}

// `rows`: the bytes of each row, without filter bytes. Colour types: 0 grey, 2 RGB, 3 palette, 4 grey+alpha,
// 6 RGBA.
inline std::string png_file(std::uint32_t width, const std::vector<std::string>& rows, int depth, int colour,
                            const std::string& extra_chunks = "") {
  std::string raw;
  for (const auto& row : rows) raw += '\0' + row;
  std::uint32_t a = 1, b = 0;  // Adler-32
  for (const char c : raw) {
    a = (a + static_cast<unsigned char>(c)) % 65521;
    b = (b + a) % 65521;
  }
  const std::string header = big_endian_32(width) + big_endian_32(static_cast<std::uint32_t>(rows.size())) +
                             static_cast<char>(depth) + static_cast<char>(colour) + std::string(3, '\0');
  return std::string("\x89PNG\r\n\x1a\n", 8) + png_chunk("IHDR", header) + extra_chunks +
         png_chunk("IDAT", std::string("\x78\x01", 2) + stored_deflate(raw) + big_endian_32(b << 16 | a)) +
         png_chunk("IEND", "");
}

inline std::string from_hex(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

// 8 x 8 JPEGs. Grey: columns 0-3 are 40, columns 4-7 are 200. Colour: all pixels (255, 60, 0). CMYK: all 50.
inline std::string grey_jpeg() {
  return from_hex(
      "ffd8ffe000104a46494600010100000100010000ffdb0043000101010101010101010101010101010101010101010101"
      "0101010101010101010101010101010101010101010101010101010101010101010101010101010101ffc0000b080008"
      "000801011100ffc40014000100000000000000000000000000000007ffc4001810000203000000000000000000000000"
      "00000a4888c7ffda0008010100003f003f5bb9995df733ffd9");
}
inline std::string colour_jpeg() {
  return from_hex(
      "ffd8ffe000104a46494600010100000100010000ffdb0043000101010101010101010101010101010101010101010101"
      "0101010101010101010101010101010101010101010101010101010101010101010101010101010101ffdb0043010101"
      "010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101"
      "0101010101010101010101010101ffc00011080008000803012200021101031101ffc400150001010000000000000000"
      "0000000000000008ffc40014100100000000000000000000000000000000ffc400150101010000000000000000000000"
      "000000090affc40014110100000000000000000000000000000000ffda000c03010002110311003f009dc000eb307fff"
      "d9");
}
inline std::string cmyk_jpeg() {
  return from_hex(
      "ffd8ffee000e41646f626500640000000000ffdb00430001010101010101010101010101010101010101010101010101"
      "010101010101010101010101010101010101010101010101010101010101010101010101010101ffc000140800080008"
      "044311004d11005911004b1100ffc4001400010000000000000000000000000000000affc40014100100000000000000"
      "000000000000000000ffda000e0443004d0059004b00003f0031e31e31e31effd9");
}

}  // namespace expunge::data
