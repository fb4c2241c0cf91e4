// A sweep's folder as finished runs leave it, with made-up numbers: for measuring what reads such folders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace expunge::cli {

struct SampleSweep {
  std::filesystem::path folder;  // is made
  std::int64_t count = 0;        // cells: of data sets, models, methods, ten ratios and 25 seeds; unless
  std::string job;               // a job file says which
  bool summaries = false;        // stores with nothing but seal and summary: a seventh of the size
};

// plan.json and a store for every cell, of the original's too where there is a job; published by one process
// a core, as tasks of a sweep do. Gives the number of cells. DataError 73 when they cannot be written.
std::int64_t write_sample_sweep(const SampleSweep& sweep);

}  // namespace expunge::cli
