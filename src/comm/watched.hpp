// A communicator that passes everything on to another one and notes when: for measurements of where a step's
// seconds go.
#pragma once

#include <chrono>

#include "comm/communicator.hpp"

namespace expunge::comm {

// `inner` must outlive this. seconds() counts what passed through here. Groups made by split() are not
// watched.
class Watched final : public Communicator {
 public:
  using Clock = std::chrono::steady_clock;
  explicit Watched(Communicator& inner)
      : Communicator(inner.rank(), inner.size(), inner.ranks_per_node()), inner_(inner) {}

  // Of the collectives since mark(): when the first began and the last ended; mark()'s time without any.
  void mark();
  Clock::time_point first_began() const { return first_began_; }
  Clock::time_point last_ended() const { return last_ended_; }

  std::string transport() const override { return inner_.transport(); }
  void barrier() override;
  void broadcast(void* data, std::size_t bytes, int root) override;
  void all_gather(const void* send, void* recv, const std::vector<std::size_t>& counts) override;
  void gather(const void* send, void* recv, const std::vector<std::size_t>& counts, int root) override;
  void exchange(const std::vector<const void*>& send, const std::vector<std::size_t>& send_bytes,
                const std::vector<void*>& recv, const std::vector<std::size_t>& recv_bytes,
                void* stream) override;
  void all_gather_slices(void* data, const std::vector<std::size_t>& offsets, void* stream) override;
  void native_sum(float* data, std::int64_t count, void* stream) override;
  std::unique_ptr<Communicator> split(int color, int key) override;

 private:
  template <class Call>
  void pass(Call&& call);

  Communicator& inner_;
  Clock::time_point first_began_ = Clock::now(), last_ended_ = first_began_;
  bool marked_ = true;
};

}  // namespace expunge::comm
