#include "comm/sum_stage.hpp"

#include <algorithm>

#include "comm/ordered_sum.hpp"
#include "core/error.hpp"

namespace expunge::comm {
namespace {

constexpr std::int64_t kChunk = std::int64_t{1} << 20;  // elements of one piece of an exchange: 4 MiB
constexpr std::int64_t kAligned = 16;                   // elements: landing places begin at cache lines

}  // namespace

SumStage::SumStage(Communicator& comm, std::vector<int> members, std::vector<std::int64_t> bounds,
                   std::int64_t longest)
    : comm_(comm),
      members_(std::move(members)),
      bounds_(std::move(bounds)),
      longest_(longest),
      chunk_((std::min(longest, kChunk) + kAligned - 1) / kAligned * kAligned) {
  EXPUNGE_CHECK(bounds_.size() == members_.size() + 1, "{} bounds of {} members", bounds_.size(),
                members_.size());
  const auto me = std::find(members_.begin(), members_.end(), comm.rank());
  EXPUNGE_CHECK(me != members_.end(), "rank {} is no member of its group", comm.rank());
  me_ = static_cast<std::size_t>(me - members_.begin());
  const auto ranks = static_cast<std::size_t>(comm.size());
  send_.resize(ranks), recv_.resize(ranks), send_size_.resize(ranks), recv_size_.resize(ranks);
  offsets_.resize(bounds_.size());
}

// Every rank knows every rank's subtrees, so no sizes travel.
void SumStage::plan(std::int64_t leaves, std::int64_t first, std::int64_t last,
                    std::span<const std::vector<TreeNode>> trees, std::size_t rounds) {
  std::vector<TreeNode> all;
  first_position_.assign(1, 0);
  for (const auto& of_member : trees) {
    all.insert(all.end(), of_member.begin(), of_member.end());
    first_position_.push_back(all.size());
  }
  rounds_ = rounds;
  finish_ = finish_run(leaves, first, last, all);
  where_.assign(all.size(), {});
  sums_.assign(finish_.sums.size(), {});
  slot_.assign(all.size(), 0);
  for (const std::size_t position : finish_.sums) slot_[position] = -1;
  landings_ = 0;
  for (std::size_t position = 0; position < all.size(); ++position)
    slot_[position] = slot_[position] < 0 || is_mine(position) ? -1 : landings_++;
}

std::int64_t SumStage::piece_length(std::size_t member, std::int64_t at) const {
  return std::clamp<std::int64_t>(bounds_[member + 1] - bounds_[member] - at, 0, chunk_);
}

void SumStage::put(std::size_t member, const float* out, std::int64_t out_length, float* in,
                   std::int64_t in_length) {
  const auto rank = static_cast<std::size_t>(members_[member]);
  send_[rank] = out_length > 0 ? out : nullptr;
  send_size_[rank] = static_cast<std::size_t>(out_length) * sizeof(float);
  recv_[rank] = in_length > 0 ? in : nullptr;
  recv_size_[rank] = static_cast<std::size_t>(in_length) * sizeof(float);
}

// Sends every member its part of this rank's subtrees and receives this rank's part of theirs: elements [at,
// at + chunk) of the parts.
void SumStage::exchange_chunk(std::span<const Elements> mine, std::int64_t at, void* stream) {
  const std::int64_t first = bounds_[me_] + at, length = piece_length(me_, at);
  for (std::size_t round = 0; round < rounds_; ++round) {
    for (std::size_t m = 0; m < members_.size(); ++m) {
      if (m == me_) continue;
      const std::size_t position = first_position_[m] + round;
      const bool sends = round < mine.size(), receives = position < first_position_[m + 1];
      const std::int64_t out = sends ? piece_length(m, at) : 0, in = receives ? length : 0;
      put(m, out > 0 ? mine[round].from(bounds_[m] + at) : nullptr, out,
          in > 0 ? where_[position].from(first) : nullptr, in);
    }
    comm_.exchange(send_, send_size_, recv_, recv_size_, stream);
  }
}

std::span<const Elements> SumStage::finish(const Arithmetic& arithmetic, std::span<const Elements> mine,
                                           std::span<const Elements> into, float* landing) {
  for (std::size_t i = 0; i < mine.size(); ++i) where_[first_position_[me_] + i] = mine[i];
  for (std::size_t s = 0; s < sums(); ++s)
    if (!grows_here(s)) where_[finish_.sums[s]] = into[s];
  for (std::int64_t at = 0; at < longest_; at += chunk_) {
    const std::int64_t first = bounds_[me_] + at, length = piece_length(me_, at);
    for (std::size_t position = 0; position < where_.size(); ++position)
      if (slot_[position] >= 0) where_[position] = {landing + slot_[position] * chunk_, first};
    exchange_chunk(mine, at, arithmetic.stream);
    if (length == 0) continue;
    for (const auto& [left, right] : finish_.additions)
      arithmetic.add(where_[left].from(first), where_[right].from(first), length);
  }
  for (std::size_t s = 0; s < sums(); ++s) sums_[s] = where_[finish_.sums[s]];
  return sums_;
}

void SumStage::gather(float* data, std::int64_t first, std::int64_t last, void* stream) {
  const auto bound = [&](std::size_t m) { return std::clamp(bounds_[m], first, last); };
  if (members_.size() == static_cast<std::size_t>(comm_.size())) {
    for (std::size_t m = 0; m < bounds_.size(); ++m)
      offsets_[m] = static_cast<std::size_t>(bound(m)) * sizeof(float);
    comm_.all_gather_slices(data, offsets_, stream);
    return;
  }
  const std::int64_t longest = std::min(longest_, last - first);
  for (std::int64_t at = 0; at < longest; at += chunk_) {
    const auto length = [&](std::size_t m) {
      return std::clamp<std::int64_t>(bound(m + 1) - bound(m) - at, 0, chunk_);
    };
    for (std::size_t m = 0; m < members_.size(); ++m)
      if (m != me_) put(m, data + bound(me_) + at, length(me_), data + bound(m) + at, length(m));
    comm_.exchange(send_, send_size_, recv_, recv_size_, stream);
  }
}

}  // namespace expunge::comm
