#include "comm/ordered_sum.hpp"

#include <algorithm>
#include <optional>
#include <tuple>

#include "comm/collective_log.hpp"
#include "comm/sum_section.hpp"
#include "comm/tree.hpp"
#include "core/error.hpp"

namespace expunge::comm {
namespace {

// Ranks of a node in a hierarchical sum; 1: it is flat.
int inside_of(const Communicator& comm, int ranks_per_node) {
  EXPUNGE_CHECK(ranks_per_node >= 0, "{} ranks a node", ranks_per_node);
  const int inside = ranks_per_node == OrderedSum::kAsTheNodesAre ? comm.ranks_per_node() : ranks_per_node;
  return comm.size() % inside == 0 && comm.size() / inside >= 2 ? inside : 1;
}

}  // namespace

std::pair<std::int64_t, std::int64_t> owned_leaves(std::int64_t leaves, int rank, int ranks) {
  return {leaves * rank / ranks, leaves * (rank + 1) / ranks};
}

Beside host_beside() {
  return {host_arithmetic(), [] {}, [] {}};
}

struct OrderedSum::Impl {
  Communicator& comm;
  const std::int64_t count;
  Arithmetic arithmetic;
  const int inside;
  SumSection whole;
  std::vector<SumSection> parts;  // in the order in which they are handed in
  Beside beside;
  std::vector<float*> all, spare;  // every full-length buffer, and those not in use
  float* landing = nullptr;
  std::int64_t landing_floats = 0;

  // This sum.
  std::int64_t leaves = -1, first = 0, last = 0, next = 0;
  TreeFront front;
  std::vector<float*> sums;  // beside front.nodes()
  float* current = nullptr;  // leaf being filled
  float* result = nullptr;   // when it is not sums[0]
  std::vector<Elements> mine;

  // Of a sum in parts.
  bool in_parts = false, closed = false;  // closed: the tree of this rank is known, its last leaf included
  std::size_t next_part = 0;
  std::vector<std::pair<float*, float*>> merges;  // (into, from) that the last leaf makes possible

  Impl(Communicator& communicator, std::int64_t floats, Arithmetic how, int ranks_per_node)
      : comm(communicator),
        count(floats),
        arithmetic(std::move(how)),
        inside(inside_of(comm, ranks_per_node)),
        whole(comm, 0, checked(count), inside) {}

  ~Impl() {
    for (float* buffer : all) arithmetic.release(buffer);
    if (landing) arithmetic.release(landing);
  }

  static std::int64_t checked(std::int64_t floats) {
    EXPUNGE_CHECK(floats >= 0, "a vector of {} elements", floats);
    return floats;
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

  void set_parts(const std::vector<Slice>& ranges, Beside how);
  void plan();
  void begin(std::int64_t new_leaves, bool with_parts);
  void push();
  bool adds_next() const { return next < last && next % 2 == 1 && next > first; }
  bool is_last() const { return in_parts && !closed && next + 1 == last; }
  bool ends() const { return closed || is_last(); }  // the next push ends the sum of this rank
  void push_added();
  void merge(int times);
  void check_complete() const;
  const float* finish_slice();
  void gather(float* data, std::int64_t from, std::int64_t to);
  const float* finish_native();

  void close();
  void sum_part();
  void sum_parts();
};

void OrderedSum::Impl::set_parts(const std::vector<Slice>& ranges, Beside how) {
  std::int64_t covered = 0;
  for (const auto& [from, to] : ranges) {
    EXPUNGE_CHECK(0 <= from && from < to && to <= count, "a part of elements [{}, {}) of {}", from, to,
                  count);
    covered += to - from;
  }
  EXPUNGE_CHECK(covered == count, "parts of {} elements, the vector has {}", covered, count);
  parts.clear();
  parts.reserve(ranges.size());
  for (const auto& [from, to] : ranges) parts.emplace_back(comm, from, to, inside);
  beside = std::move(how);
  leaves = -1;
}

void OrderedSum::Impl::plan() {
  if (leaves == 0) return;
  std::int64_t floats = 0;
  const auto prepare = [&](SumSection& section) {
    section.plan(leaves);
    floats = std::max(floats, section.landing());
  };
  if (in_parts)
    for (SumSection& part : parts) prepare(part);
  else
    prepare(whole);
  mine.reserve(maximal_nodes(leaves, first, last).size());
  if (floats <= landing_floats) return;
  if (landing) arithmetic.release(landing);
  landing = nullptr, landing_floats = 0;
  landing = arithmetic.allocate(floats);
  landing_floats = floats;
}

void OrderedSum::Impl::begin(std::int64_t new_leaves, bool with_parts) {
  EXPUNGE_CHECK(new_leaves >= 0, "a sum over {} leaves", new_leaves);
  EXPUNGE_CHECK(!with_parts || !parts.empty() || count == 0, "a sum in parts that are not set");
  const bool known = leaves == new_leaves && in_parts == with_parts;
  leaves = new_leaves, in_parts = with_parts;
  std::tie(first, last) = owned_leaves(leaves, comm.rank(), comm.size());
  next = first;
  if (!known) plan();
  front.reset(leaves, first, last);
  sums.clear();
  merges.clear();
  spare.assign(all.begin(), all.end());
  current = result = nullptr;
  closed = false, next_part = 0;
}

void OrderedSum::Impl::push() {
  EXPUNGE_CHECK(next < last || closed, "push of leaf {} outside this rank's run [{}, {})", next, first, last);
  if (ends()) return sum_parts();
  EXPUNGE_CHECK(current, "push of leaf {}, which was not filled", next);
  sums.push_back(current);
  current = nullptr;
  merge(front.push({0, next++}));
}

void OrderedSum::Impl::push_added() {
  if (closed) return sum_parts();
  EXPUNGE_CHECK(adds_next() && !current, "leaf {} has no sibling to be added to", next);
  if (is_last()) return sum_parts();
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
  EXPUNGE_CHECK(!result || closed, "finish is called once after begin");
}

// What is the leftmost operand of the whole tree lands in the result, since sums grow in their left operand.
const float* OrderedSum::Impl::finish_slice() {
  check_complete();
  if (leaves == 0) {
    result = take();
    arithmetic.zero(result, count);
    return result;
  }
  result = whole.holds_leftmost() ? sums[0] : take();
  if (comm.size() == 1) return result;
  mine.clear();
  for (float* sum : sums) mine.push_back({sum, 0});
  whole.finish(arithmetic, mine, result, landing);
  return result;
}

// Takes the last leaf of this rank, filled or not, into its tree: which vectors are added is known, and is
// done part by part.
void OrderedSum::Impl::close() {
  if (closed) return;
  if (next < last) {
    EXPUNGE_CHECK(next + 1 == last, "leaf {} of this rank's run [{}, {}) is not the last one", next, first,
                  last);
    EXPUNGE_CHECK(current || adds_next(), "leaf {} was not begun", next);
    const bool added = !current;
    if (current) sums.push_back(current);
    current = nullptr;
    for (int times = front.push({0, next++}) - (added ? 1 : 0); times > 0; --times) {
      merges.emplace_back(sums[sums.size() - 2], sums.back());
      sums.pop_back();
    }
  }
  closed = true;
  mine.clear();
  for (float* sum : sums) mine.push_back({sum, 0});
  result = !parts.empty() && parts.front().holds_leftmost() ? sums[0] : take();
}

void OrderedSum::Impl::sum_part() {
  close();
  EXPUNGE_CHECK(next_part < parts.size(), "part {} of {}", next_part, parts.size());
  SumSection& part = parts[next_part++];
  beside.fork();
  for (const auto& [into, from] : merges)
    beside.arithmetic.add(into + part.first(), from + part.first(), part.last() - part.first());
  if (comm.size() == 1) return;
  part.finish(beside.arithmetic, mine, result, landing);
  part.gather(result, part.first(), part.last(), beside.arithmetic.stream);
}

void OrderedSum::Impl::sum_parts() {
  close();
  while (next_part < parts.size()) sum_part();
}

void OrderedSum::Impl::gather(float* data, std::int64_t from, std::int64_t to) {
  EXPUNGE_CHECK(0 <= from && from <= to && to <= count, "a gather of elements [{}, {}) of {}", from, to,
                count);
  if (comm.size() == 1 || from == to) return;
  whole.gather(data, from, to, arithmetic.stream);
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

void OrderedSum::set_parts(const std::vector<Slice>& parts, Beside beside) {
  impl_->set_parts(parts, std::move(beside));
}
bool OrderedSum::has_parts() const { return !impl_->parts.empty(); }
void OrderedSum::begin(std::int64_t leaves) { impl_->begin(leaves, false); }
void OrderedSum::begin_in_parts(std::int64_t leaves) { impl_->begin(leaves, true); }
bool OrderedSum::takes_parts() const { return impl_->is_last(); }
void OrderedSum::push_part() {
  const CollectiveScope scope("ordered_sum");
  EXPUNGE_CHECK(impl_->ends(), "a part of leaf {}, which is not the last of this rank", impl_->next);
  impl_->sum_part();
}
void OrderedSum::end_parts() {
  Impl& sum = *impl_;
  EXPUNGE_CHECK(sum.in_parts, "the end of a sum in parts that is none");
  if (sum.leaves == 0) return;
  for (; !sum.closed && sum.next < sum.last; push()) leaf();
  const CollectiveScope scope("ordered_sum");
  sum.sum_parts();
}
std::int64_t OrderedSum::first_leaf() const { return impl_->first; }
std::int64_t OrderedSum::last_leaf() const { return impl_->last; }

float* OrderedSum::leaf() {
  EXPUNGE_CHECK(impl_->next < impl_->last, "leaf {} is outside this rank's run [{}, {})", impl_->next,
                impl_->first, impl_->last);
  if (!impl_->current) impl_->current = impl_->take();
  return impl_->current;
}

void OrderedSum::push() {
  std::optional<CollectiveScope> scope;
  if (impl_->ends()) scope.emplace("ordered_sum");
  impl_->push();
}
bool OrderedSum::adds_next() const { return impl_->adds_next(); }
float* OrderedSum::sibling() {
  EXPUNGE_CHECK(impl_->adds_next(), "leaf {} has no sibling to be added to", impl_->next);
  return impl_->sums.back();
}
void OrderedSum::push_added() {
  std::optional<CollectiveScope> scope;
  if (impl_->ends()) scope.emplace("ordered_sum");
  impl_->push_added();
}
const float* OrderedSum::finish() {
  const CollectiveScope scope("ordered_sum");
  if (impl_->in_parts && impl_->leaves > 0) {
    impl_->sum_parts();  // of ranks without leaves, unless they are done
    impl_->beside.join();
    return impl_->result;
  }
  const float* sum = impl_->finish_slice();
  if (impl_->leaves > 0) impl_->gather(impl_->result, 0, impl_->count);  // of nothing it is zero everywhere
  return sum;
}
const float* OrderedSum::finish_slice() {
  const CollectiveScope scope("ordered_sum");
  EXPUNGE_CHECK(!impl_->in_parts, "a sum in parts has no slices");
  return impl_->finish_slice();
}
OrderedSum::Slice OrderedSum::slice(int rank) const {
  const auto [first, last] = impl_->whole.slice(rank);
  return {first, last};
}
void OrderedSum::gather(float* data, std::int64_t first, std::int64_t last) {
  const CollectiveScope scope("gather_slices");
  impl_->gather(data, first, last);
}
const float* OrderedSum::finish_native() { return impl_->finish_native(); }

}  // namespace expunge::comm
