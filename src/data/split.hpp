// Which samples belong to D_f, D_r, validation and test: pure functions of the job's [data] section and the
// ratio.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/reader.hpp"
#include "data/dataset.hpp"

namespace expunge::data {

struct DataOptions {
  std::int64_t train_limit = 0;  // first n of a keyed permutation of the training samples; 0 = all
  std::int64_t test_limit = 0;   // the same for test
  std::int64_t split_seed = 0;
  double val_fraction = 0;  // carved out of the (limited) training samples before anything trains on them
  std::string deletion = "drawn";  // drawn | published
  // sample | class | image | image_pair | edge (data/units.hpp).
  std::string unit = "sample";
  // D_f arrives in so many requests, these shares of it; adding up to 1. Empty: all at once.
  std::vector<double> requests = {};
  std::int64_t augment_crop = 0;       // zero-padding of the random crop, pixels; 0 = off
  bool augment_flip = false;           // horizontal flip with probability 1/2
  std::string class_weights = "none";  // none | balanced
};
DataOptions read_data_options(config::Reader& in);  // the caller ends with in.finish()

// A ratio as written ("0.02"): digits over a power of ten, so that floor(ratio * n) is exact.
struct Ratio {
  std::int64_t numerator = 0, denominator = 1;
  std::string text;                  // shortest decimal form
  static Ratio parse(double value);  // from TOML; in [0, 1], at most 9 decimals, else ConfigError
  double value() const { return static_cast<double>(numerator) / static_cast<double>(denominator); }
  std::int64_t floor_of(std::int64_t n) const;  // floor(ratio * n), in integers
};

// Ids are positions in the data set, ascending in every vector but `forget_order`.
struct Splits {
  std::vector<std::int64_t> train, forget, retain, val, test;  // train = forget + retain
  std::vector<std::int64_t> forget_order;                      // deletion list, whole: D_f is its prefix
  std::string deletion_sha256;                                 // of the prefix in use
  std::vector<std::vector<std::int64_t>> requests;             // D_f in the order of arrival; empty: at once
};

// Draws are keyed by (split_seed, purpose, sample id) alone: purposes train_limit, test_limit, val, deletion,
// deletion_class, deletion_image, deletion_image_pair, deletion_edge. |D_f| = floor(ratio * n) of the n
// training samples left after limit and validation, for drawn lists; floor(10 * ratio * length) for published
// ones, which hold 10 % of the full training set (MU-Bench); their validation samples are drawn outside the
// list. ConfigError when the options do not fit the data set.
Splits make_splits(const Dataset& dataset, const DataOptions& options, const Ratio& ratio);

// Sizes without opening the data set, where its Info knows them: what plan needs. Units other than
// samples are taken to be of equal size.
struct SplitSizes {
  std::int64_t train = 0, forget = 0, retain = 0, val = 0, test = 0;
  std::vector<std::int64_t> requests = {};
};
SplitSizes split_sizes(const Info& info, const DataOptions& options, const Ratio& ratio);

// Weight of each class's losses, "balanced": n / (K n_c) for n_c of n samples, so that every class weighs the
// same and the mean weight of a sample is 1 (King & Zeng 2001; scikit-learn's rule). Of the original's
// training samples, so that all methods of a sweep share one loss. A class without samples gets 1; "none":
// empty.
std::vector<double> class_weights(const Dataset& dataset, const Splits& splits, const DataOptions& options);

// One augmented, normalised image: out[C*H*W] = (pixel/255 - mean) / deviation. Crop and flip are drawn from
// (seed, sample id, pass); pass < 0 means evaluation: no augmentation. Zero padding is applied before
// normalisation.
void load_image(const Dataset& dataset, Side side, std::int64_t id, const DataOptions& options,
                std::uint64_t seed, std::int64_t pass, float* out);

}  // namespace expunge::data
