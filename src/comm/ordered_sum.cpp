#include "comm/ordered_sum.hpp"

#include <algorithm>
#include <optional>

#include "comm/collective_log.hpp"
#include "comm/sum_stage.hpp"
#include "comm/tree.hpp"
#include "core/error.hpp"

namespace expunge::comm {
namespace {

constexpr std::int64_t kCacheLine = 16;     // elements
constexpr std::int64_t kBlocksOfLarge = 4;  // of a rank's slice of a large vector

// Ranks of a node in a hierarchical sum; 1: it is flat.
int inside_of(const Communicator& comm, int ranks_per_node) {
  EXPUNGE_CHECK(ranks_per_node >= 0, "{} ranks a node", ranks_per_node);
  const int inside = ranks_per_node == OrderedSum::kAsTheNodesAre ? comm.ranks_per_node() : ranks_per_node;
  return comm.size() % inside == 0 && comm.size() / inside >= 2 ? inside : 1;
}

std::size_t most(const std::vector<std::vector<TreeNode>>& trees) {
  std::size_t out = 0;
  for (const auto& nodes : trees) out = std::max(out, nodes.size());
  return out;
}

}  // namespace

std::pair<std::int64_t, std::int64_t> owned_leaves(std::int64_t leaves, int rank, int ranks) {
  return {leaves * rank / ranks, leaves * (rank + 1) / ranks};
}

struct OrderedSum::Impl {
  Communicator& comm;
  const std::int64_t count;
  Arithmetic arithmetic;
  std::vector<float*> all, spare;  // every full-length buffer, and those not in use

  // This sum.
  std::int64_t leaves = -1, first = 0, last = 0, next = 0;
  TreeFront front;
  std::vector<float*> sums;  // beside front.nodes()
  float* current = nullptr;  // leaf being filled
  float* result = nullptr;   // when it is not sums[0]

  // Slices and stages. Local rank i of node k finishes slice i * nodes + k, so the i-th piece, of the
  // node's i-th rank, is the slices of all ranks with this i. A flat sum has nodes of one rank.
  const int inside, nodes;
  std::vector<std::int64_t> slice;  // slice s is elements [slice[s], slice[s+1])
  std::optional<SumStage> within;   // a node; hierarchical only
  std::optional<SumStage> across;

  // The finishing order, for `planned` leaves.
  std::int64_t planned = -1;
  std::vector<std::int64_t> home;  // of each sum of the node: its place among the pieces kept, or -1
  std::int64_t homes = 0;
  float* landing = nullptr;  // pieces kept, then what is received
  std::int64_t landing_floats = 0;
  std::vector<Elements> mine, into;

  Impl(Communicator& communicator, std::int64_t floats, Arithmetic how, int ranks_per_node)
      : comm(communicator),
        count(floats),
        arithmetic(std::move(how)),
        inside(inside_of(comm, ranks_per_node)),
        nodes(comm.size() / inside) {
    EXPUNGE_CHECK(count >= 0, "a vector of {} elements", count);
    const std::int64_t step = count / comm.size() >= kBlocksOfLarge * kSliceBlock ? kSliceBlock : kCacheLine;
    const std::int64_t steps = (count + step - 1) / step;
    for (int s = 0; s <= comm.size(); ++s) slice.push_back(std::min(count, steps * s / comm.size() * step));
    if (inside > 1) within.emplace(make_stage(first_of_node(), 1, inside, 0, nodes));
    across.emplace(make_stage(local(), inside, nodes, local() * nodes, 1));
  }

  ~Impl() {
    for (float* buffer : all) arithmetic.release(buffer);
    if (landing) arithmetic.release(landing);
  }

  int local() const { return comm.rank() % inside; }
  int first_of_node() const { return comm.rank() - local(); }
  std::int64_t bound(int s) const { return slice[static_cast<std::size_t>(s)]; }
  std::int64_t piece_first() const { return bound(local() * nodes); }
  // This rank's piece, in whole cache lines.
  std::int64_t piece_floats() const {
    return (bound((local() + 1) * nodes) - piece_first() + kCacheLine - 1) / kCacheLine * kCacheLine;
  }

  // Of `members` ranks from `rank` on, `stride` apart; each finishes `width` slices, beginning at `at`.
  SumStage make_stage(int rank, int stride, int members, int at, int width) {
    std::vector<int> ranks;
    std::vector<std::int64_t> bounds{bound(at)};
    for (int m = 0; m < members; ++m) {
      ranks.push_back(rank + m * stride);
      bounds.push_back(bound(at + (m + 1) * width));
    }
    std::int64_t longest = 0;
    for (int s = 0; s < comm.size(); s += width) longest = std::max(longest, bound(s + width) - bound(s));
    return SumStage(comm, std::move(ranks), std::move(bounds), longest);
  }

  float* take() {
    if (spare.empty()) {
      all.reserve(all.size() + 1), spare.reserve(all.size() + 1);
      all.push_back(arithmetic.allocate(count));
      return all.back();
    }
    float* buffer = spare.back();
    spare.pop_back();
    return buffer;
  }

  void plan();
  void find_homes();
  void begin(std::int64_t new_leaves);
  void push();
  bool adds_next() const { return next < last && next % 2 == 1 && next > first; }
  void push_added();
  void merge(int times);
  void check_complete() const;
  std::span<const Elements> finish_node();
  const float* finish_slice();
  void gather(float* data, std::int64_t from, std::int64_t to);
  const float* finish_native();

  int slice_of(int rank) const { return rank % inside * nodes + rank / inside; }
};

void OrderedSum::Impl::plan() {
  if (planned == leaves) return;
  std::vector<std::vector<TreeNode>> of_ranks, of_nodes;
  for (int r = 0; r < comm.size(); ++r) {
    const auto [from, to] = owned_leaves(leaves, r, comm.size());
    of_ranks.push_back(maximal_nodes(leaves, from, to));
  }
  mine.reserve(of_ranks[static_cast<std::size_t>(comm.rank())].size());
  homes = 0;
  if (within) {
    const auto run = [&](int node) {
      return std::pair{owned_leaves(leaves, node * inside, comm.size()).first,
                       owned_leaves(leaves, (node + 1) * inside - 1, comm.size()).second};
    };
    for (int k = 0; k < nodes; ++k) of_nodes.push_back(maximal_nodes(leaves, run(k).first, run(k).second));
    const auto [from, to] = run(comm.rank() / inside);
    within->plan(leaves, from, to,
                 std::span(of_ranks).subspan(static_cast<std::size_t>(first_of_node()),
                                             static_cast<std::size_t>(inside)),
                 most(of_ranks));
    across->plan(leaves, 0, leaves, of_nodes, most(of_nodes));
    find_homes();
  } else {
    across->plan(leaves, 0, leaves, of_ranks, most(of_ranks));
  }
  planned = leaves;
  const std::int64_t floats =
      homes * piece_floats() + std::max(across->landing(), within ? within->landing() : 0);
  if (floats <= landing_floats) return;
  if (landing) arithmetic.release(landing);
  landing = nullptr, landing_floats = 0;
  landing = arithmetic.allocate(floats);
  landing_floats = floats;
}

// The node's sums that grow neither in a vector of this rank nor in the result.
void OrderedSum::Impl::find_homes() {
  home.assign(within->sums(), -1);
  into.assign(std::max<std::size_t>(1, within->sums()), {});
  for (std::size_t s = 0; s < home.size(); ++s)
    if (!within->grows_here(s) && !(s == 0 && across->grows_here(0))) home[s] = homes++;
}

void OrderedSum::Impl::begin(std::int64_t new_leaves) {
  EXPUNGE_CHECK(new_leaves >= 0, "a sum over {} leaves", new_leaves);
  leaves = new_leaves;
  std::tie(first, last) = owned_leaves(leaves, comm.rank(), comm.size());
  next = first;
  plan();
  front.reset(leaves, first, last);
  sums.clear();
  spare.assign(all.begin(), all.end());
  current = result = nullptr;
}

void OrderedSum::Impl::push() {
  EXPUNGE_CHECK(current && next < last, "push of leaf {} outside this rank's run [{}, {})", next, first,
                last);
  sums.push_back(current);
  current = nullptr;
  merge(front.push({0, next++}));
}

void OrderedSum::Impl::push_added() {
  EXPUNGE_CHECK(adds_next() && !current, "leaf {} has no sibling to be added to", next);
  merge(front.push({0, next++}) - 1);
}

// Adds the rightmost sums, so many times.
void OrderedSum::Impl::merge(int times) {
  for (; times > 0; --times) {
    arithmetic.add(sums[sums.size() - 2], sums.back(), count);
    spare.push_back(sums.back());
    sums.pop_back();
  }
}

void OrderedSum::Impl::check_complete() const {
  EXPUNGE_CHECK(leaves >= 0 && next == last, "finish after leaf {} of this rank's run [{}, {})", next, first,
                last);
  EXPUNGE_CHECK(!result, "finish is called once after begin");
}

// The sums of the node's run, of which this rank has its piece.
std::span<const Elements> OrderedSum::Impl::finish_node() {
  for (std::size_t s = 0; s < home.size(); ++s)
    into[s] = home[s] < 0 ? Elements{result, 0} : Elements{landing + home[s] * piece_floats(), piece_first()};
  return within->finish(arithmetic, mine, into, landing + homes * piece_floats());
}

// What is the leftmost operand of the whole tree lands in the result, since sums grow in their left operand.
const float* OrderedSum::Impl::finish_slice() {
  check_complete();
  if (leaves == 0) {
    result = take();
    arithmetic.zero(result, count);
    return result;
  }
  const bool holds_leftmost = across->grows_here(0) && (!within || within->grows_here(0));
  result = holds_leftmost ? sums[0] : take();
  if (comm.size() == 1) return result;
  mine.clear();
  for (float* sum : sums) mine.push_back({sum, 0});
  const Elements whole{result, 0};
  if (within)
    across->finish(arithmetic, finish_node(), {&whole, 1}, landing + homes * piece_floats());
  else
    across->finish(arithmetic, mine, {&whole, 1}, landing);
  return result;
}

void OrderedSum::Impl::gather(float* data, std::int64_t from, std::int64_t to) {
  EXPUNGE_CHECK(0 <= from && from <= to && to <= count, "a gather of elements [{}, {}) of {}", from, to,
                count);
  if (comm.size() == 1 || from == to) return;
  across->gather(data, from, to, arithmetic.stream);
  if (within) within->gather(data, from, to, arithmetic.stream);
}

const float* OrderedSum::Impl::finish_native() {
  check_complete();
  const CollectiveScope scope("native_sum");
  if (sums.empty()) {
    result = take();
    arithmetic.zero(result, count);
  } else {
    result = sums[0];
    for (std::size_t node = 1; node < sums.size(); ++node) arithmetic.add(result, sums[node], count);
  }
  if (comm.size() > 1) comm.native_sum(result, count, arithmetic.stream);
  return result;
}

OrderedSum::OrderedSum(Communicator& comm, std::int64_t count, Arithmetic arithmetic, int ranks_per_node)
    : impl_(std::make_unique<Impl>(comm, count, std::move(arithmetic), ranks_per_node)) {}
OrderedSum::~OrderedSum() = default;
bool OrderedSum::hierarchical() const { return impl_->inside > 1; }

void OrderedSum::begin(std::int64_t leaves) { impl_->begin(leaves); }
std::int64_t OrderedSum::first_leaf() const { return impl_->first; }
std::int64_t OrderedSum::last_leaf() const { return impl_->last; }

float* OrderedSum::leaf() {
  EXPUNGE_CHECK(impl_->next < impl_->last, "leaf {} is outside this rank's run [{}, {})", impl_->next,
                impl_->first, impl_->last);
  if (!impl_->current) impl_->current = impl_->take();
  return impl_->current;
}

void OrderedSum::push() { impl_->push(); }
bool OrderedSum::adds_next() const { return impl_->adds_next(); }
float* OrderedSum::sibling() {
  EXPUNGE_CHECK(impl_->adds_next(), "leaf {} has no sibling to be added to", impl_->next);
  return impl_->sums.back();
}
void OrderedSum::push_added() { impl_->push_added(); }
const float* OrderedSum::finish() {
  const CollectiveScope scope("ordered_sum");
  const float* sum = impl_->finish_slice();
  if (impl_->leaves > 0) impl_->gather(impl_->result, 0, impl_->count);  // of nothing it is zero everywhere
  return sum;
}
const float* OrderedSum::finish_slice() {
  const CollectiveScope scope("ordered_sum");
  return impl_->finish_slice();
}
OrderedSum::Slice OrderedSum::slice(int rank) const {
  const int s = impl_->slice_of(rank);
  return {impl_->bound(s), impl_->bound(s + 1)};
}
void OrderedSum::gather(float* data, std::int64_t first, std::int64_t last) {
  const CollectiveScope scope("gather_slices");
  impl_->gather(data, first, last);
}
const float* OrderedSum::finish_native() { return impl_->finish_native(); }

}  // namespace expunge::comm
