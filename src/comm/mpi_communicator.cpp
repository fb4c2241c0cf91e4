// Communicator over MPI, host memory. Calls are cut into pieces: counts are int there, and Open MPI allocates
// a temporary of the message's size, which above 32 MB costs fresh page faults every time.
#include <mpi.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "comm/collective_log.hpp"
#include "comm/mpi.hpp"
#include "comm/nodes.hpp"
#include "core/error.hpp"

namespace expunge::comm {
namespace {

constexpr std::size_t kMostBytes = std::size_t{16} << 20;    // of one MPI call
constexpr std::size_t kMostSumBytes = std::size_t{4} << 20;  // of one MPI_Allreduce: its temporary is as long
constexpr int kTag = 7;

// What the ranks compare under EXPUNGE_CHECK_COLLECTIVES.
struct Signature {
  char name[24];
  std::int64_t bytes;
  std::int64_t root;
};

class MpiCommunicator final : public Communicator {
 public:
  // `nodes`: number of the node of every rank.
  MpiCommunicator(MPI_Comm comm, int rank, const std::vector<int>& nodes)
      : Communicator(rank, static_cast<int>(nodes.size()), even_runs(nodes)),
        comm_(comm),
        node_(nodes[static_cast<std::size_t>(rank)]) {}
  // MPI_Comm_free is collective and a destructor may run during unwinding: MPI_Finalize frees the handle.
  ~MpiCommunicator() override = default;
  std::string transport() const override { return "mpi"; }

  void barrier() override {
    const CollectiveScope scope("barrier", &seconds_);
    same_call(0, 0);
    check_mpi(MPI_Barrier(comm_), "MPI_Barrier");
  }

  void broadcast(void* data, std::size_t bytes, int root) override {
    const CollectiveScope scope("broadcast", &seconds_);
    same_call(bytes, root);
    auto* at = static_cast<char*>(data);
    for (std::size_t done = 0; done < bytes; done += kMostBytes)
      check_mpi(
          MPI_Bcast(at + done, static_cast<int>(std::min(kMostBytes, bytes - done)), MPI_BYTE, root, comm_),
          "MPI_Bcast");
  }

  void all_gather(const void* send, void* recv, const std::vector<std::size_t>& counts) override {
    const CollectiveScope scope("all_gather", &seconds_);
    const std::size_t total = lay_out(counts);
    same_call(total, 0);
    if (total <= kMostBytes) {
      const bool in_place =
          send == static_cast<char*>(recv) + displacements_[static_cast<std::size_t>(rank_)];
      check_mpi(MPI_Allgatherv(in_place ? MPI_IN_PLACE : send, int_counts_[static_cast<std::size_t>(rank_)],
                               MPI_BYTE, recv, int_counts_.data(), displacements_.data(), MPI_BYTE, comm_),
                "MPI_Allgatherv");
      return;
    }
    const std::vector<const void*> from(counts.size(), send);
    const std::vector<std::size_t> mine(counts.size(), counts[static_cast<std::size_t>(rank_)]);
    std::vector<void*> to(counts.size());
    auto* at = static_cast<char*>(recv);
    for (std::size_t r = 0; r < counts.size(); at += counts[r++]) to[r] = at;
    move_pieces(from, mine, to, counts);
  }

  void gather(const void* send, void* recv, const std::vector<std::size_t>& counts, int root) override {
    const CollectiveScope scope("gather", &seconds_);
    const std::size_t total = lay_out(counts);
    same_call(total, root);
    if (total <= kMostBytes) {
      const auto me = static_cast<std::size_t>(rank_);
      const bool in_place = rank_ == root && send == static_cast<char*>(recv) + displacements_[me];
      check_mpi(MPI_Gatherv(in_place ? MPI_IN_PLACE : send, int_counts_[me], MPI_BYTE, recv,
                            int_counts_.data(), displacements_.data(), MPI_BYTE, root, comm_),
                "MPI_Gatherv");
      return;
    }
    const std::vector<const void*> from(counts.size(), send);
    std::vector<std::size_t> mine(counts.size(), 0), theirs(counts.size(), 0);
    mine[static_cast<std::size_t>(root)] = counts[static_cast<std::size_t>(rank_)];
    std::vector<void*> to(counts.size(), nullptr);
    if (rank_ == root) {
      theirs = counts;
      auto* at = static_cast<char*>(recv);
      for (std::size_t r = 0; r < counts.size(); at += counts[r++]) to[r] = at;
    }
    move_pieces(from, mine, to, theirs);
  }

  void exchange(const std::vector<const void*>& send, const std::vector<std::size_t>& send_bytes,
                const std::vector<void*>& recv, const std::vector<std::size_t>& recv_bytes, void*) override {
    const CollectiveScope scope("exchange", &seconds_);
    const auto ranks = static_cast<std::size_t>(size_);
    EXPUNGE_CHECK(send.size() == ranks && recv.size() == ranks && send_bytes.size() == ranks &&
                      recv_bytes.size() == ranks,
                  "exchange wants one piece for each of {} ranks", size_);
    same_call(0, 0);
    if (checks_collectives()) same_sizes(send_bytes, recv_bytes);
    move_pieces(send, send_bytes, recv, recv_bytes);
  }

  void all_gather_slices(void* data, const std::vector<std::size_t>& offsets, void*) override {
    const CollectiveScope scope("all_gather_slices", &seconds_);
    EXPUNGE_CHECK(offsets.size() == static_cast<std::size_t>(size_) + 1, "{} offsets for {} ranks",
                  offsets.size(), size_);
    same_call(offsets.back() - offsets.front(), 0);
    auto* base = static_cast<char*>(data);
    const auto me = static_cast<std::size_t>(rank_);
    slice_from_.assign(static_cast<std::size_t>(size_), base + offsets[me]);
    slice_send_.assign(static_cast<std::size_t>(size_), offsets[me + 1] - offsets[me]);
    slice_to_.resize(static_cast<std::size_t>(size_));
    slice_recv_.resize(static_cast<std::size_t>(size_));
    for (std::size_t r = 0; r < slice_to_.size(); ++r) {
      slice_to_[r] = base + offsets[r];
      slice_recv_[r] = offsets[r + 1] - offsets[r];
    }
    move_pieces(slice_from_, slice_send_, slice_to_, slice_recv_);
  }

  void native_sum(float* data, std::int64_t count, void*) override {
    const CollectiveScope scope("native_sum", &seconds_);
    same_call(static_cast<std::size_t>(count) * sizeof(float), 0);
    constexpr std::int64_t most = kMostSumBytes / sizeof(float);
    for (std::int64_t done = 0; done < count; done += most)
      check_mpi(MPI_Allreduce(MPI_IN_PLACE, data + done, static_cast<int>(std::min(most, count - done)),
                              MPI_FLOAT, MPI_SUM, comm_),
                "MPI_Allreduce");
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    const CollectiveScope scope("split", &seconds_);
    EXPUNGE_CHECK(color >= 0, "split with color {}", color);
    same_call(0, 0);
    MPI_Comm part = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split(comm_, color, key, &part), "MPI_Comm_split");
    return made_of(part, node_);
  }

  // Collective over `comm`. `node`: of this rank.
  static std::unique_ptr<Communicator> made_of(MPI_Comm comm, int node) {
    int rank = 0, size = 1;
    check_mpi(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(comm, &size), "MPI_Comm_size");
    if (size == 1) return make_self();
    std::vector<int> nodes(static_cast<std::size_t>(size));
    check_mpi(MPI_Allgather(&node, 1, MPI_INT, nodes.data(), 1, MPI_INT, comm), "MPI_Allgather");
    return std::make_unique<MpiCommunicator>(comm, rank, nodes);
  }

 private:
  // Fills int_counts_ and displacements_ where they fit; returns the total.
  std::size_t lay_out(const std::vector<std::size_t>& counts) {
    EXPUNGE_CHECK(counts.size() == static_cast<std::size_t>(size_), "{} counts for {} ranks", counts.size(),
                  size_);
    const auto total = std::accumulate(counts.begin(), counts.end(), std::size_t{0});
    if (total > kMostBytes) return total;
    int_counts_.resize(counts.size());
    displacements_.resize(counts.size());
    int at = 0;
    for (std::size_t r = 0; r < counts.size(); ++r) {
      int_counts_[r] = static_cast<int>(counts[r]);
      displacements_[r] = at;
      at += int_counts_[r];
    }
    return total;
  }

  // Every rank's piece for every other rank; the piece for itself is copied. Both ends of a pair know its
  // sizes.
  void move_pieces(const std::vector<const void*>& send, const std::vector<std::size_t>& send_bytes,
                   const std::vector<void*>& recv, const std::vector<std::size_t>& recv_bytes) {
    const auto me = static_cast<std::size_t>(rank_);
    if (recv_bytes[me] > 0 && recv[me] != send[me]) std::memmove(recv[me], send[me], recv_bytes[me]);
    if (size_ == 2) return swap_with_other(send, send_bytes, recv, recv_bytes);

    requests_.clear();
    for (int step = 1; step < size_; ++step) {
      const auto from = static_cast<std::size_t>((rank_ - step + size_) % size_);
      auto* at = static_cast<char*>(recv[from]);
      for (std::size_t done = 0; done < recv_bytes[from]; done += kMostBytes)
        check_mpi(
            MPI_Irecv(at + done, static_cast<int>(std::min(kMostBytes, recv_bytes[from] - done)), MPI_BYTE,
                      static_cast<int>(from), kTag, comm_, &requests_.emplace_back(MPI_REQUEST_NULL)),
            "MPI_Irecv");
    }
    for (int step = 1; step < size_; ++step) {
      const auto to = static_cast<std::size_t>((rank_ + step) % size_);
      const auto* at = static_cast<const char*>(send[to]);
      for (std::size_t done = 0; done < send_bytes[to]; done += kMostBytes)
        check_mpi(
            MPI_Isend(at + done, static_cast<int>(std::min(kMostBytes, send_bytes[to] - done)), MPI_BYTE,
                      static_cast<int>(to), kTag, comm_, &requests_.emplace_back(MPI_REQUEST_NULL)),
            "MPI_Isend");
    }
    check_mpi(MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE),
              "MPI_Waitall");
  }

  void swap_with_other(const std::vector<const void*>& send, const std::vector<std::size_t>& send_bytes,
                       const std::vector<void*>& recv, const std::vector<std::size_t>& recv_bytes) {
    const auto other = static_cast<std::size_t>(1 - rank_);
    const std::size_t out = send_bytes[other], in = recv_bytes[other];
    for (std::size_t done = 0; done < std::max(out, in); done += kMostBytes) {
      const auto piece = [&](std::size_t total) {
        return static_cast<int>(done < total ? std::min(kMostBytes, total - done) : 0);
      };
      const auto* from = static_cast<const char*>(send[other]) + (done < out ? done : 0);
      auto* to = static_cast<char*>(recv[other]) + (done < in ? done : 0);
      check_mpi(MPI_Sendrecv(from, piece(out), MPI_BYTE, static_cast<int>(other), kTag, to, piece(in),
                             MPI_BYTE, static_cast<int>(other), kTag, comm_, MPI_STATUS_IGNORE),
                "MPI_Sendrecv");
    }
  }

  void same_call(std::size_t bytes, int root) {
    if (!checks_collectives()) return;
    Signature mine{};
    std::strncpy(mine.name, collective_name(), sizeof mine.name - 1);
    mine.bytes = static_cast<std::int64_t>(bytes);
    mine.root = root;
    std::vector<Signature> all(static_cast<std::size_t>(size_));
    check_mpi(MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all.data(), sizeof mine, MPI_BYTE, comm_),
              "MPI_Allgather");
    for (std::size_t r = 1; r < all.size(); ++r) {
      if (std::memcmp(&all[r], &all[0], sizeof mine) == 0) continue;
      const auto text = [](const Signature& s) {
        return fmt::format("{} ({} bytes, root {})", s.name, s.bytes, s.root);
      };
      throw CommError(fmt::format("ranks disagree on the collective: rank 0 calls {}, rank {} calls {}",
                                  text(all[0]), r, text(all[r])));
    }
  }

  void same_sizes(const std::vector<std::size_t>& send_bytes, const std::vector<std::size_t>& recv_bytes) {
    std::vector<std::uint64_t> promised(send_bytes.begin(), send_bytes.end()), coming(promised.size());
    check_mpi(MPI_Alltoall(promised.data(), 1, MPI_UINT64_T, coming.data(), 1, MPI_UINT64_T, comm_),
              "MPI_Alltoall");
    for (std::size_t r = 0; r < coming.size(); ++r)
      if (coming[r] != recv_bytes[r])
        throw CommError(fmt::format("ranks disagree on {}: rank {} sends {} bytes, rank {} expects {}",
                                    collective_name(), r, coming[r], rank_, recv_bytes[r]));
  }

  MPI_Comm comm_;
  int node_;
  std::vector<int> int_counts_, displacements_;
  std::vector<MPI_Request> requests_;
  std::vector<const void*> slice_from_;
  std::vector<void*> slice_to_;
  std::vector<std::size_t> slice_send_, slice_recv_;
};

// A number that the ranks of this node alone have: the lowest of them, or as declared.
int number_of_node(MPI_Comm world) {
  int rank = 0;
  check_mpi(MPI_Comm_rank(world, &rank), "MPI_Comm_rank");
  if (const int declared = declared_ranks_per_node(); declared > 0) return rank / declared;
  MPI_Comm node = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node),
            "MPI_Comm_split_type");
  check_mpi(MPI_Bcast(&rank, 1, MPI_INT, 0, node), "MPI_Bcast");
  check_mpi(MPI_Comm_free(&node), "MPI_Comm_free");
  return rank;
}

}  // namespace

void check_mpi(int result, const char* call) {
  if (result == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  if (MPI_Error_string(result, text, &length) != MPI_SUCCESS) length = 0;
  throw CommError(fmt::format(
      "{} failed: {}", call,
      length > 0 ? std::string(text, static_cast<std::size_t>(length)) : fmt::format("error {}", result)));
}

std::unique_ptr<Communicator> make_mpi_world() {
  MPI_Comm world = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &world), "MPI_Comm_dup");
  check_mpi(MPI_Comm_set_errhandler(world, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return MpiCommunicator::made_of(world, number_of_node(world));
}

}  // namespace expunge::comm
