// Hashes: SHA-256 (OpenSSL) for identities that people see, XXH3 for integrity of large data.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace expunge {

// Lower-case hexadecimal SHA-256 of the bytes.
std::string sha256_hex(std::string_view bytes);

// Incremental SHA-256.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  Sha256& add(const void* data, std::size_t bytes);
  Sha256& add(std::string_view text) { return add(text.data(), text.size()); }
  std::string hex();  // ends the hash; call once

 private:
  void* context_;
};

// XXH3-128 as 32 hexadecimal digits; XXH3-64 as a number.
std::string xxh128_hex(const void* data, std::size_t bytes);
std::uint64_t xxh64(const void* data, std::size_t bytes, std::uint64_t seed = 0);

}  // namespace expunge
