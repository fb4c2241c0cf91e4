#include "comm/watched.hpp"

namespace expunge::comm {

void Watched::mark() {
  first_began_ = last_ended_ = Clock::now();
  marked_ = true;
}

template <class Call>
void Watched::pass(Call&& call) {
  const auto began = Clock::now();
  if (marked_) first_began_ = began;
  marked_ = false;
  call();
  last_ended_ = Clock::now();
  seconds_ += std::chrono::duration<double>(last_ended_ - began).count();
}

void Watched::barrier() {
  pass([&] { inner_.barrier(); });
}

void Watched::broadcast(void* data, std::size_t bytes, int root) {
  pass([&] { inner_.broadcast(data, bytes, root); });
}

void Watched::all_gather(const void* send, void* recv, const std::vector<std::size_t>& counts) {
  pass([&] { inner_.all_gather(send, recv, counts); });
}

void Watched::gather(const void* send, void* recv, const std::vector<std::size_t>& counts, int root) {
  pass([&] { inner_.gather(send, recv, counts, root); });
}

void Watched::exchange(const std::vector<const void*>& send, const std::vector<std::size_t>& send_bytes,
                       const std::vector<void*>& recv, const std::vector<std::size_t>& recv_bytes,
                       void* stream) {
  pass([&] { inner_.exchange(send, send_bytes, recv, recv_bytes, stream); });
}

void Watched::all_gather_slices(void* data, const std::vector<std::size_t>& offsets, void* stream) {
  pass([&] { inner_.all_gather_slices(data, offsets, stream); });
}

void Watched::native_sum(float* data, std::int64_t count, void* stream) {
  pass([&] { inner_.native_sum(data, count, stream); });
}

std::unique_ptr<Communicator> Watched::split(int color, int key) { return inner_.split(color, key); }

}  // namespace expunge::comm
