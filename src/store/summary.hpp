// The summary of a store: its RowHeader, packed behind the HDF5 part and under the same seal. A board or a
// status needs no more of a store, and reading it takes no HDF5: a tenth of the time, and any number of
// threads at once. Stores without one (of older programs) are read through HDF5.
//
//   last bytes of the file: packed header, its length (u64), "expsum 1"
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "store/packed.hpp"
#include "store/store_file.hpp"

namespace expunge::store {

void pack(Writer& to, const RowHeader& header);
RowHeader unpack_header(Bytes& from);  // InternalError when the bytes end too early

// What write_sealed puts behind the HDF5 part.
std::string summary_bytes(const RowHeader& header);
// Length of that at the end of these bytes of a file; 0 when there is none.
std::size_t summary_size(std::string_view file);
// Of a file whose seal was checked. Nothing when there is no summary, or one of another version.
std::optional<RowHeader> summary_of(std::string_view file);

}  // namespace expunge::store
