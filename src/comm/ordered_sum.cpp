#include "comm/ordered_sum.hpp"

#include <algorithm>

#include "comm/collective_log.hpp"
#include "comm/tree.hpp"
#include "core/error.hpp"

namespace expunge::comm {
namespace {

constexpr std::int64_t kCacheLine = 16;                 // elements
constexpr std::int64_t kBlocksOfLarge = 4;              // of a rank's slice of a large vector
constexpr std::int64_t kChunk = std::int64_t{1} << 20;  // elements of one piece of an exchange: 4 MiB

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

  // The finishing order, for `planned` leaves. Positions number the maximal nodes of all ranks from left to
  // right.
  std::int64_t planned = -1;
  std::vector<std::size_t> first_position;  // of each rank, and the end
  std::vector<std::pair<std::size_t, std::size_t>> additions;
  std::size_t rounds = 0;  // most nodes of any rank

  // Slices and the exchange.
  std::vector<std::int64_t> slice;        // rank r finishes elements [slice[r], slice[r+1])
  std::vector<std::size_t> gather_bytes;  // of a gather: the same in bytes, cut at its range
  std::int64_t chunk = 0;                 // longest piece
  float* landing = nullptr;               // received pieces, `chunk` elements each
  std::size_t landing_pieces = 0;
  std::vector<float*> piece;  // by position: where its part of the current chunk lies
  std::vector<const void*> send;
  std::vector<void*> recv;
  std::vector<std::size_t> send_size, recv_size;

  Impl(Communicator& communicator, std::int64_t floats, Arithmetic how)
      : comm(communicator), count(floats), arithmetic(std::move(how)) {
    EXPUNGE_CHECK(count >= 0, "a vector of {} elements", count);
    const int ranks = comm.size();
    const std::int64_t step = count / ranks >= kBlocksOfLarge * kSliceBlock ? kSliceBlock : kCacheLine;
    const std::int64_t steps = (count + step - 1) / step;
    for (int r = 0; r <= ranks; ++r) {
      slice.push_back(std::min(count, steps * r / ranks * step));
      if (r > 0)
        chunk = std::max(chunk, slice[static_cast<std::size_t>(r)] - slice[static_cast<std::size_t>(r) - 1]);
    }
    chunk = std::min(chunk, kChunk);
    gather_bytes.resize(slice.size());
    const auto width = static_cast<std::size_t>(ranks);
    send.resize(width), recv.resize(width), send_size.resize(width), recv_size.resize(width);
  }

  ~Impl() {
    for (float* buffer : all) arithmetic.release(buffer);
    if (landing) arithmetic.release(landing);
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
  void begin(std::int64_t new_leaves);
  void push();
  bool adds_next() const { return next < last && next % 2 == 1 && next > first; }
  void push_added();
  void merge(int times);
  void check_complete() const;
  void exchange_chunk(std::int64_t at);
  void add_chunk(std::int64_t at);
  const float* finish_slice();
  void gather(float* data, std::int64_t from, std::int64_t to);
  const float* finish_native();

  std::int64_t slice_first(int rank) const { return slice[static_cast<std::size_t>(rank)]; }
  // Elements of a rank's slice from `at` elements after its beginning, at most a chunk.
  std::int64_t piece_length(int rank, std::int64_t at) const {
    return std::clamp<std::int64_t>(slice_first(rank + 1) - slice_first(rank) - at, 0, chunk);
  }
  bool is_mine(std::size_t position) const {
    const auto me = static_cast<std::size_t>(comm.rank());
    return position >= first_position[me] && position < first_position[me + 1];
  }
};

// Every rank knows every rank's nodes, so no sizes travel.
void OrderedSum::Impl::plan() {
  if (planned == leaves) return;
  std::vector<TreeNode> nodes;
  first_position.assign(1, 0);
  rounds = 0;
  for (int r = 0; r < comm.size(); ++r) {
    const auto [from, to] = owned_leaves(leaves, r, comm.size());
    const auto owned = maximal_nodes(leaves, from, to);
    nodes.insert(nodes.end(), owned.begin(), owned.end());
    first_position.push_back(nodes.size());
    rounds = std::max(rounds, owned.size());
  }
  additions = finishing_additions(leaves, nodes);
  piece.assign(nodes.size(), nullptr);
  planned = leaves;
  if (comm.size() == 1 || nodes.size() <= landing_pieces) return;
  if (landing) arithmetic.release(landing);
  landing = nullptr;
  landing = arithmetic.allocate(static_cast<std::int64_t>(nodes.size()) * chunk);
  landing_pieces = nodes.size();
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

// Sends every rank its part of this rank's nodes and receives this rank's part of theirs: elements [at, at +
// chunk) of the slices. What is the leftmost operand of the whole tree lands in the result, since sums grow
// in their left operand.
void OrderedSum::Impl::exchange_chunk(std::int64_t at) {
  const int me = comm.rank();
  for (std::size_t position = 0; position < piece.size(); ++position) {
    if (is_mine(position))
      piece[position] = sums[position - first_position[static_cast<std::size_t>(me)]] + slice_first(me) + at;
    else
      piece[position] = position == 0 ? result + slice_first(me) + at
                                      : landing + static_cast<std::int64_t>(position) * chunk;
  }
  for (std::size_t round = 0; round < rounds; ++round) {
    for (int r = 0; r < comm.size(); ++r) {
      const auto other = static_cast<std::size_t>(r);
      const std::size_t position = first_position[other] + round;
      const bool sends = r != me && round < sums.size() && piece_length(r, at) > 0;
      const bool receives = r != me && position < first_position[other + 1] && piece_length(me, at) > 0;
      send[other] = sends ? sums[round] + slice_first(r) + at : nullptr;
      send_size[other] = sends ? static_cast<std::size_t>(piece_length(r, at)) * sizeof(float) : 0;
      recv[other] = receives ? piece[position] : nullptr;
      recv_size[other] = receives ? static_cast<std::size_t>(piece_length(me, at)) * sizeof(float) : 0;
    }
    comm.exchange(send, send_size, recv, recv_size, arithmetic.stream);
  }
}

void OrderedSum::Impl::add_chunk(std::int64_t at) {
  const std::int64_t length = piece_length(comm.rank(), at);
  if (length == 0) return;
  for (const auto& [into, from] : additions) arithmetic.add(piece[into], piece[from], length);
}

const float* OrderedSum::Impl::finish_slice() {
  check_complete();
  if (leaves == 0) {
    result = take();
    arithmetic.zero(result, count);
    return result;
  }
  const bool holds_leftmost = is_mine(0);
  result = holds_leftmost ? sums[0] : take();
  if (comm.size() == 1) return result;
  std::int64_t longest = 0;
  for (int r = 0; r < comm.size(); ++r) longest = std::max(longest, slice_first(r + 1) - slice_first(r));
  for (std::int64_t at = 0; at < longest; at += chunk) {
    exchange_chunk(at);
    add_chunk(at);
  }
  return result;
}

void OrderedSum::Impl::gather(float* data, std::int64_t from, std::int64_t to) {
  EXPUNGE_CHECK(0 <= from && from <= to && to <= count, "a gather of elements [{}, {}) of {}", from, to,
                count);
  if (comm.size() == 1 || from == to) return;
  for (std::size_t r = 0; r < slice.size(); ++r)
    gather_bytes[r] = static_cast<std::size_t>(std::clamp(slice[r], from, to)) * sizeof(float);
  comm.all_gather_slices(data, gather_bytes, arithmetic.stream);
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

OrderedSum::OrderedSum(Communicator& comm, std::int64_t count, Arithmetic arithmetic)
    : impl_(std::make_unique<Impl>(comm, count, std::move(arithmetic))) {}
OrderedSum::~OrderedSum() = default;

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
  return {impl_->slice_first(rank), impl_->slice_first(rank + 1)};
}
void OrderedSum::gather(float* data, std::int64_t first, std::int64_t last) {
  impl_->gather(data, first, last);
}
const float* OrderedSum::finish_native() { return impl_->finish_native(); }

}  // namespace expunge::comm
