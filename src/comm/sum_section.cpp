#include "comm/sum_section.hpp"

#include <algorithm>

#include "comm/ordered_sum.hpp"
#include "comm/tree.hpp"
#include "core/error.hpp"

namespace expunge::comm {
namespace {

constexpr std::int64_t kCacheLine = 16;     // elements
constexpr std::int64_t kBlocksOfLarge = 4;  // of a rank's slice of a large section

std::size_t most(const std::vector<std::vector<TreeNode>>& trees) {
  std::size_t out = 0;
  for (const auto& nodes : trees) out = std::max(out, nodes.size());
  return out;
}

}  // namespace

SumSection::SumSection(Communicator& comm, std::int64_t first, std::int64_t last, int inside)
    : comm_(comm), inside_(inside), nodes_(comm.size() / inside) {
  const std::int64_t count = last - first;
  const std::int64_t step = count / comm.size() >= kBlocksOfLarge * kSliceBlock ? kSliceBlock : kCacheLine;
  const std::int64_t steps = (count + step - 1) / step;
  for (int s = 0; s <= comm.size(); ++s)
    slices_.push_back(first + std::min(count, steps * s / comm.size() * step));
  if (inside > 1) within_.emplace(make_stage(first_of_node(), 1, inside, 0, nodes_));
  across_.emplace(make_stage(local(), inside, nodes_, local() * nodes_, 1));
}

std::pair<std::int64_t, std::int64_t> SumSection::slice(int rank) const {
  const int s = rank % inside_ * nodes_ + rank / inside_;
  return {bound(s), bound(s + 1)};
}

// This rank's piece, in whole cache lines.
std::int64_t SumSection::piece_floats() const {
  return (bound((local() + 1) * nodes_) - piece_first() + kCacheLine - 1) / kCacheLine * kCacheLine;
}

// Of `members` ranks from `rank` on, `stride` apart; each finishes `width` slices, beginning at `at`.
SumStage SumSection::make_stage(int rank, int stride, int members, int at, int width) {
  std::vector<int> ranks;
  std::vector<std::int64_t> bounds{bound(at)};
  for (int m = 0; m < members; ++m) {
    ranks.push_back(rank + m * stride);
    bounds.push_back(bound(at + (m + 1) * width));
  }
  std::int64_t longest = 0;
  for (int s = 0; s < comm_.size(); s += width) longest = std::max(longest, bound(s + width) - bound(s));
  return SumStage(comm_, std::move(ranks), std::move(bounds), longest);
}

void SumSection::plan(std::int64_t leaves) {
  if (planned_ == leaves) return;
  std::vector<std::vector<TreeNode>> of_ranks, of_nodes;
  for (int r = 0; r < comm_.size(); ++r) {
    const auto [from, to] = owned_leaves(leaves, r, comm_.size());
    of_ranks.push_back(maximal_nodes(leaves, from, to));
  }
  homes_ = 0;
  if (within_) {
    const auto run = [&](int node) {
      return std::pair{owned_leaves(leaves, node * inside_, comm_.size()).first,
                       owned_leaves(leaves, (node + 1) * inside_ - 1, comm_.size()).second};
    };
    for (int k = 0; k < nodes_; ++k) of_nodes.push_back(maximal_nodes(leaves, run(k).first, run(k).second));
    const auto [from, to] = run(comm_.rank() / inside_);
    within_->plan(leaves, from, to,
                  std::span(of_ranks).subspan(static_cast<std::size_t>(first_of_node()),
                                              static_cast<std::size_t>(inside_)),
                  most(of_ranks));
    across_->plan(leaves, 0, leaves, of_nodes, most(of_nodes));
    find_homes();
  } else {
    across_->plan(leaves, 0, leaves, of_ranks, most(of_ranks));
  }
  planned_ = leaves;
}

// The node's sums that grow neither in a vector of this rank nor in the result.
void SumSection::find_homes() {
  home_.assign(within_->sums(), -1);
  into_.assign(std::max<std::size_t>(1, within_->sums()), {});
  for (std::size_t s = 0; s < home_.size(); ++s)
    if (!within_->grows_here(s) && !(s == 0 && across_->grows_here(0))) home_[s] = homes_++;
}

std::int64_t SumSection::landing() const {
  return homes_ * piece_floats() + std::max(across_->landing(), within_ ? within_->landing() : 0);
}

bool SumSection::holds_leftmost() const {
  return across_->grows_here(0) && (!within_ || within_->grows_here(0));
}

// The sums of the node's run, of which this rank has its piece.
std::span<const Elements> SumSection::finish_node(const Arithmetic& arithmetic,
                                                  std::span<const Elements> mine, float* result,
                                                  float* landing) {
  for (std::size_t s = 0; s < home_.size(); ++s)
    into_[s] =
        home_[s] < 0 ? Elements{result, 0} : Elements{landing + home_[s] * piece_floats(), piece_first()};
  return within_->finish(arithmetic, mine, into_, landing + homes_ * piece_floats());
}

void SumSection::finish(const Arithmetic& arithmetic, std::span<const Elements> mine, float* result,
                        float* landing) {
  const Elements whole{result, 0};
  if (within_)
    across_->finish(arithmetic, finish_node(arithmetic, mine, result, landing), {&whole, 1},
                    landing + homes_ * piece_floats());
  else
    across_->finish(arithmetic, mine, {&whole, 1}, landing);
}

void SumSection::gather(float* data, std::int64_t from, std::int64_t to, void* stream) {
  across_->gather(data, from, to, stream);
  if (within_) within_->gather(data, from, to, stream);
}

}  // namespace expunge::comm
