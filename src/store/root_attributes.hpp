// Root attributes of a store: those of a cell, of the program and machine that wrote it, and the record's
// own; not for others than the store's own files.
#pragma once

#include <filesystem>

#include "store/h5.hpp"
#include "store/store_file.hpp"

namespace expunge::store {

// InternalError when the record is not one that can be written.
void check_record(const std::filesystem::path& path, const Record& record);

void write_attributes(hid_t file, const Record& record, const RowHeader& header);
// Text and integer attributes without a meaning of their own.
void read_free_attributes(hid_t file, Record& record);
// The header, but for its datasets (row, timing, config_json).
RowHeader read_header_attributes(hid_t file);

std::int64_t restart_count();  // of this process' job, as the scheduler counts them

}  // namespace expunge::store
