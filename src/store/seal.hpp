// The seal of a file's contents; not for others than the store's own files.
#pragma once

#include <string>
#include <string_view>

namespace expunge::store {

// The user block in front of these bytes, to the last byte.
std::string seal_of(std::string_view body);

}  // namespace expunge::store
