// Parts that the files of the HDF5 wrapper share; not for others.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "store/h5.hpp"

namespace expunge::store::h5 {

[[noreturn]] void fail(std::string_view what, const std::string& name);  // Failure with HDF5's own reason

template <class Status>
Status checked(Status status, std::string_view what, const std::string& name) {
  if (status < 0) fail(what, name);
  return status;
}

inline Handle owned(hid_t id, Handle::Closer closer, std::string_view what, const std::string& name) {
  return {checked(id, what, name), closer};
}

Handle property_list(hid_t kind);
Handle text_type(std::size_t size);                 // fixed-length UTF-8, zero padded
Handle space_of(const std::vector<hsize_t>& dims);  // scalar for no dimensions

template <class T>
hid_t native_type() {
  if constexpr (std::is_same_v<T, double>) return H5T_NATIVE_DOUBLE;
  if constexpr (std::is_same_v<T, float>) return H5T_NATIVE_FLOAT;
  if constexpr (std::is_same_v<T, std::int64_t>) return H5T_NATIVE_INT64;
  if constexpr (std::is_same_v<T, std::uint8_t>) return H5T_NATIVE_UINT8;
}

// Texts of equal length in one block, zero padded, and back.
std::size_t widest(const std::vector<std::string>& values);  // at least 1
std::string pack(const std::vector<std::string>& values, std::size_t width);
std::vector<std::string> unpack(const std::string& block, std::size_t width);

// The bytes of `count` texts of this file type, fetched by `read(type, into)`. Failure when it is another
// type.
std::string fixed_text(hid_t type, const std::string& name, std::size_t count,
                       const std::function<herr_t(hid_t, void*)>& read);

}  // namespace expunge::store::h5
