// Streams: ordered passes over samples, described by value. The engine draws the order of each pass from
// counter-based random numbers keyed by (seed, source, pass), so it depends on nothing else.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/rng.hpp"

namespace expunge {

class SampleSource;  // engine/sample_source.hpp

using SampleIds = std::shared_ptr<const std::vector<std::int64_t>>;

// One shuffled source of samples. Passes are counted per name over the whole run.
struct Source {
  std::string name;  // "forget", "retain", "mix", "train" ...
  SampleIds ids;
  std::int64_t batch = 0;                            // samples a step; 0 = train.batch
  std::shared_ptr<const SampleSource> samples = {};  // null: the cell's training samples
};

// An epoch is one pass over the first source; each step takes one batch of every source (zip). Further
// sources cycle: an exhausted one restarts with the order of its next pass.
struct Stream {
  std::vector<Source> sources;
};

// Both streams, each with its own batch per step; anchored on the first.
inline Stream zip(const Stream& anchor, const Stream& cycled) {
  Stream out = anchor;
  out.sources.insert(out.sources.end(), cycled.sources.begin(), cycled.sources.end());
  return out;
}

// The same samples with another number a step.
inline Stream in_batches(Stream stream, std::int64_t batch) {
  for (Source& source : stream.sources) source.batch = batch;
  return stream;
}

// Samples of the first source.
inline std::int64_t size_of(const Stream& stream) {
  return static_cast<std::int64_t>(stream.sources.front().ids->size());
}

// Where a source stands: pass number and position inside the pass. Part of a checkpoint.
struct Position {
  std::int64_t pass = 0, offset = 0;
};

// Order of one pass over `count` samples.
std::vector<std::int64_t> pass_order(std::uint64_t seed, const std::string& source, std::int64_t pass,
                                     std::int64_t count);

// A grain of a step: samples [begin, end) of the step's batch of one source.
struct Grain {
  std::size_t source = 0;
  std::int64_t begin = 0, end = 0;
};

// Cuts the batches of a step into grains, source by source; the last grain of each source may be shorter.
std::vector<Grain> cut_grains(const std::vector<std::int64_t>& batch_sizes, std::int64_t grain);

}  // namespace expunge
