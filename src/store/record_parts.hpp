// The parts of a record as HDF5 datasets, and back; not for others than the store's own files. h5::Failure
// when something is not as it should be.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "store/h5.hpp"
#include "store/record.hpp"

namespace expunge::store {

// f64[n] with the attribute `names`.
void write_named(hid_t file, const std::string& name, const std::map<std::string, double>& values);
std::map<std::string, double> read_named(hid_t file, const std::string& name);

// f64[rows, columns] with the attribute `columns`.
void write_table(hid_t file, const char* name, const std::vector<std::string>& columns,
                 const std::vector<double>& values);
void read_table(hid_t file, const char* name, std::vector<std::string>& columns, std::vector<double>& values);

// /metrics, /logits and /segments.
void write_splits(hid_t file, const Record& record);
std::map<std::string, SplitSums> read_splits(hid_t file);
void write_outputs(hid_t file, const Record& record);
std::map<std::string, SplitOutputs> read_outputs(hid_t file);
void write_segments(hid_t file, const Record& record);
std::vector<Segment> read_segments(hid_t file);

}  // namespace expunge::store
