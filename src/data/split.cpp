#include "data/split.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/rng.hpp"
#include "data/deletion_list.hpp"
#include "data/units.hpp"

namespace expunge::data {
namespace {

using Ids = std::vector<std::int64_t>;

constexpr std::int64_t kPublishedShare = 10;  // a published list holds one tenth of the training set

// Members of `keyed` that `keep` marks, in keyed order, at most `count`.
Ids take(const Ids& keyed, const std::vector<bool>& keep, std::int64_t count) {
  Ids out;
  for (const auto id : keyed) {
    if (static_cast<std::int64_t>(out.size()) == count) break;
    if (keep[static_cast<std::size_t>(id)]) out.push_back(id);
  }
  return out;
}

Ids members(const std::vector<bool>& keep) {
  Ids out;
  for (std::size_t id = 0; id < keep.size(); ++id)
    if (keep[id]) out.push_back(static_cast<std::int64_t>(id));
  return out;
}

Ids keyed(const DataOptions& options, const char* purpose, std::int64_t n) {
  return Rng(static_cast<std::uint64_t>(options.split_seed), purpose).permutation(n);
}

// The first `limit` of a keyed permutation of n samples; all of them for limit 0.
std::vector<bool> limited(const DataOptions& options, const char* key, std::int64_t limit, std::int64_t n) {
  if (limit > n)
    throw ConfigError(fmt::format("data.{} = {}, but the data set has only {} such samples", key, limit, n));
  std::vector<bool> keep(static_cast<std::size_t>(n), limit == 0);
  if (limit > 0)
    for (const auto id :
         take(keyed(options, key, n), std::vector<bool>(static_cast<std::size_t>(n), true), limit))
      keep[static_cast<std::size_t>(id)] = true;
  return keep;
}

// floor(10 * ratio * length); a published list ends at 10 %.
std::int64_t published_prefix(const Ratio& ratio, const std::string& file, std::int64_t length) {
  const Ratio tenfold{ratio.numerator * kPublishedShare, ratio.denominator, ratio.text};
  const std::int64_t count = tenfold.floor_of(length);
  if (count > length)
    throw ConfigError(fmt::format(
        "ratio {} is beyond the published deletion list {}, which holds 10 % of the training samples",
        ratio.text, file));
  return count;
}

const DeletionList& list_for(const Info& info, const DataOptions& options) {
  if (info.deletion_list.empty())
    throw ConfigError(fmt::format(
        "data.deletion = \"published\": no deletion list was published for {}; use deletion = \"drawn\"",
        info.name));
  if (options.train_limit != 0)
    throw ConfigError(
        fmt::format("data.deletion = \"published\" indexes all training samples: remove data.train_limit = "
                    "{}, or use deletion = \"drawn\"",
                    options.train_limit));
  if (options.unit != "sample")
    throw ConfigError(fmt::format(
        "data.deletion = \"published\" lists samples: data.unit = \"{}\" needs deletion = \"drawn\"",
        options.unit));
  return published_list(info.deletion_list);
}

std::string sha256_of(const Ids& order, std::int64_t count) {
  std::string text;
  for (std::int64_t i = 0; i < count; ++i) text += fmt::format("{}\n", order[static_cast<std::size_t>(i)]);
  return sha256_hex(text);
}

}  // namespace

Ratio Ratio::parse(double value) {
  if (!std::isfinite(value) || value < 0 || value > 1)
    throw ConfigError(fmt::format("ratio {} is not in [0, 1]", value));
  std::string text = fmt::format("{:.9f}", value);
  if (std::strtod(text.c_str(), nullptr) != value)
    throw ConfigError(fmt::format("ratio {} has more than 9 decimals", value));
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  Ratio ratio{0, 1, text};
  bool fraction = false;
  for (const char c : text) {
    if (c == '.') {
      fraction = true;
      continue;
    }
    ratio.numerator = ratio.numerator * 10 + (c - '0');
    if (fraction) ratio.denominator *= 10;
  }
  return ratio;
}

std::int64_t Ratio::floor_of(std::int64_t n) const {
  return static_cast<std::int64_t>(static_cast<__int128>(numerator) * n / denominator);
}

DataOptions read_data_options(config::Reader& in) {
  DataOptions o;
  o.train_limit = in.integer("train_limit", o.train_limit, config::ge(0),
                             "first n of a keyed permutation of the training samples; 0 = all");
  o.test_limit = in.integer("test_limit", o.test_limit, config::ge(0),
                            "first n of a keyed permutation of the test samples; 0 = all");
  o.split_seed = in.integer("split_seed", o.split_seed, config::ge(0),
                            "key of the deletion draws and the validation split");
  o.val_fraction = in.number("val_fraction", o.val_fraction, {.low = 0, .high = 1, .high_open = true},
                             "share of the training samples set aside for validation");
  o.deletion = in.choice("deletion", o.deletion, {"drawn", "published"},
                         "where D_f comes from: keyed draws, or the list published for the data set");
  o.unit =
      in.choice("unit", o.unit, kUnits,
                "what is forgotten: single samples, whole classes, or images, pairs of images or edges with "
                "all samples about them");
  o.requests = in.numbers("requests", {}, config::gt(0),
                          "shares of D_f that arrive one after another, adding up to 1; empty = all at once");
  const double shares = std::accumulate(o.requests.begin(), o.requests.end(), 0.0);
  if (!o.requests.empty() && std::fabs(shares - 1) > 1e-9)
    in.problem("requests",
               fmt::format("expected shares of D_f that add up to 1, these add up to {:g}", shares));
  o.augment_crop = in.integer("augment_crop", o.augment_crop, config::between(0, 1024),
                              "zero padding of the random crop in training, pixels; 0 = off");
  o.augment_flip =
      in.flag("augment_flip", o.augment_flip, "horizontal flip with probability 1/2 in training");
  o.class_weights =
      in.choice("class_weights", o.class_weights, {"none", "balanced"},
                "weight of a sample's loss by its class; balanced: every class weighs the same");
  return o;
}

std::vector<double> class_weights(const Dataset& dataset, const Splits& splits, const DataOptions& options) {
  if (options.class_weights == "none") return {};
  std::vector<double> out(static_cast<std::size_t>(dataset.info().classes), 0);
  for (const auto id : splits.train) ++out[static_cast<std::size_t>(dataset.label(Side::kTrain, id))];
  const auto even = static_cast<double>(splits.train.size()) / static_cast<double>(out.size());
  for (double& weight : out) weight = weight > 0 ? even / weight : 1;
  return out;
}

Splits make_splits(const Dataset& dataset, const DataOptions& options, const Ratio& ratio) {
  require_unit(dataset.info(), options.unit);
  const std::int64_t n = dataset.size(Side::kTrain);
  const DeletionList* published =
      options.deletion == "published" ? &list_for(dataset.info(), options) : nullptr;
  if (published) require_published(*published, dataset);

  Splits out;
  std::vector<bool> train = limited(options, "train_limit", options.train_limit, n);
  const std::int64_t samples = std::count(train.begin(), train.end(), true);
  std::vector<bool> open_to_val = train;
  if (published)
    for (const auto id : published->indices) open_to_val[static_cast<std::size_t>(id)] = false;
  out.val = take(keyed(options, "val", n), open_to_val, Ratio::parse(options.val_fraction).floor_of(samples));
  for (const auto id : out.val) train[static_cast<std::size_t>(id)] = false;
  std::sort(out.val.begin(), out.val.end());
  out.train = members(train);
  out.test = members(limited(options, "test_limit", options.test_limit, dataset.size(Side::kTest)));

  std::int64_t count = 0;
  if (published) {
    out.forget_order = published->indices;
    count = published_prefix(ratio, published->file, static_cast<std::int64_t>(published->indices.size()));
  } else {
    out.forget_order = take(keyed(options, "deletion", n), train, n);
    count = order_by_unit(dataset, options, ratio, out.forget_order);
  }
  if (count == 0 && ratio.numerator > 0)
    throw ConfigError(
        fmt::format("ratio {} of {} training samples of {} is less than one sample: nothing to forget",
                    ratio.text, out.train.size(), dataset.info().name));
  out.deletion_sha256 = sha256_of(out.forget_order, count);
  out.requests = parts_of(dataset, options, {out.forget_order.begin(), out.forget_order.begin() + count});
  out.forget.assign(out.forget_order.begin(), out.forget_order.begin() + count);
  std::sort(out.forget.begin(), out.forget.end());
  std::set_difference(out.train.begin(), out.train.end(), out.forget.begin(), out.forget.end(),
                      std::back_inserter(out.retain));
  return out;
}

SplitSizes split_sizes(const Info& info, const DataOptions& options, const Ratio& ratio) {
  const auto at_most = [](std::int64_t limit, std::int64_t n) { return limit > 0 ? std::min(limit, n) : n; };
  require_unit(info, options.unit);
  SplitSizes out;
  const std::int64_t samples = at_most(options.train_limit, info.train_size);
  out.test = at_most(options.test_limit, info.test_size);
  out.val = Ratio::parse(options.val_fraction).floor_of(samples);
  if (options.deletion == "published") {
    const DeletionList& list = list_for(info, options);
    const auto length = static_cast<std::int64_t>(list.indices.size());
    out.val = std::min(out.val, samples - length);
    out.train = samples - out.val;
    out.forget = published_prefix(ratio, list.file, length);
  } else {
    out.train = samples - out.val;
    out.forget = options.unit != "class" ? ratio.floor_of(out.train)
                 : info.classes > 0      ? out.train * classes_of(ratio, info.classes) / info.classes
                                         : 0;
  }
  out.retain = out.train - out.forget;
  out.requests = part_sizes(options, out.forget);
  return out;
}

}  // namespace expunge::data
