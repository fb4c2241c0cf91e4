// The world of one rank: every operation is real, none leaves the process.
#include <cstring>

#include "comm/collective_log.hpp"
#include "comm/communicator.hpp"
#include "core/error.hpp"

namespace expunge::comm {
namespace {

void move_bytes(void* to, const void* from, std::size_t bytes) {
  if (bytes > 0 && to != from) std::memmove(to, from, bytes);
}

class SelfCommunicator final : public Communicator {
 public:
  SelfCommunicator() : Communicator(0, 1) {}
  std::string transport() const override { return "self"; }

  void barrier() override { const CollectiveScope scope("barrier", &seconds_); }

  void broadcast(void*, std::size_t, int root) override {
    const CollectiveScope scope("broadcast", &seconds_);
    EXPUNGE_CHECK(root == 0, "broadcast from rank {} of 1", root);
  }

  void all_gather(const void* send, void* recv, const std::vector<std::size_t>& counts) override {
    const CollectiveScope scope("all_gather", &seconds_);
    EXPUNGE_CHECK(counts.size() == 1, "{} counts for 1 rank", counts.size());
    move_bytes(recv, send, counts[0]);
  }

  void gather(const void* send, void* recv, const std::vector<std::size_t>& counts, int root) override {
    const CollectiveScope scope("gather", &seconds_);
    EXPUNGE_CHECK(root == 0 && counts.size() == 1, "root {}, {} counts for 1 rank", root, counts.size());
    move_bytes(recv, send, counts[0]);
  }

  void exchange(const std::vector<const void*>& send, const std::vector<std::size_t>& send_bytes,
                const std::vector<void*>& recv, const std::vector<std::size_t>& recv_bytes, void*) override {
    const CollectiveScope scope("exchange", &seconds_);
    EXPUNGE_CHECK(send.size() == 1 && recv.size() == 1 && send_bytes.size() == 1 && recv_bytes.size() == 1,
                  "exchange wants one piece for 1 rank");
    EXPUNGE_CHECK(send_bytes[0] == recv_bytes[0], "sends itself {} bytes, expects {}", send_bytes[0],
                  recv_bytes[0]);
    move_bytes(recv[0], send[0], send_bytes[0]);
  }

  void all_gather_slices(void*, const std::vector<std::size_t>& offsets, void*) override {
    const CollectiveScope scope("all_gather_slices", &seconds_);
    EXPUNGE_CHECK(offsets.size() == 2, "{} offsets for 1 rank", offsets.size());
  }

  void native_sum(float*, std::int64_t, void*) override {
    const CollectiveScope scope("native_sum", &seconds_);
  }

  std::unique_ptr<Communicator> split(int color, int) override {
    const CollectiveScope scope("split", &seconds_);
    EXPUNGE_CHECK(color >= 0, "split with color {}", color);
    return make_self();
  }
};

}  // namespace

std::unique_ptr<Communicator> make_self() { return std::make_unique<SelfCommunicator>(); }

}  // namespace expunge::comm
