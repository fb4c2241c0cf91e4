// Values as bytes, one after the other: numbers as they lie in memory, texts with their length in front. For
// the summary at the end of a store and the index of a folder.
#pragma once

#include <cstring>
#include <string>
#include <string_view>

#include "core/error.hpp"

namespace expunge::store {

class Writer {
 public:
  template <class T>
  void number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view value) {
    number(value.size());
    bytes_ += value;
  }
  void raw(std::string_view value) { bytes_ += value; }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// InternalError when the bytes end too early.
class Bytes {
 public:
  explicit Bytes(std::string_view bytes) : bytes_(bytes) {}
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view text() { return take(number<std::size_t>()); }
  std::string_view take(std::size_t size) {
    EXPUNGE_CHECK(bytes_.size() >= size, "{} bytes are missing", size - bytes_.size());
    const auto out = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return out;
  }
  bool empty() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
};

}  // namespace expunge::store
