// Communicator for ranks that share a GPU, which NCCL refuses: device memory -> pinned host memory -> the
// host transport -> device memory.
#include <algorithm>
#include <numeric>

#include "comm/collective_log.hpp"
#include "core/error.hpp"
#include "cuda/cuda_check.hpp"
#include "cuda/device_communicator.hpp"

namespace expunge::cuda {
namespace {

using comm::CollectiveScope;

constexpr std::size_t kMostBytes = std::size_t{16} << 20;  // staged at once, for each slice or sum

// Page-locked host memory that grows.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  ~PinnedBuffer() { cudaFreeHost(memory_); }
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  char* at_least(std::size_t bytes) {
    if (bytes <= bytes_) return memory_;
    check_cuda(cudaFreeHost(memory_), "cudaFreeHost");
    memory_ = nullptr, bytes_ = 0;
    void* fresh = nullptr;
    check_cuda(cudaHostAlloc(&fresh, bytes, cudaHostAllocDefault), "cudaHostAlloc");
    memory_ = static_cast<char*>(fresh), bytes_ = bytes;
    return memory_;
  }

 private:
  char* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

class StagedCommunicator final : public DeviceCommunicator {
 public:
  explicit StagedCommunicator(comm::Communicator& host) : DeviceCommunicator(host) {}
  std::string transport() const override { return "staged"; }

  void exchange(const std::vector<const void*>& send, const std::vector<std::size_t>& send_bytes,
                const std::vector<void*>& recv, const std::vector<std::size_t>& recv_bytes,
                void* stream) override {
    const CollectiveScope scope("exchange", &seconds_);
    const auto queue = static_cast<cudaStream_t>(stream);
    const auto ranks = static_cast<std::size_t>(size_), me = static_cast<std::size_t>(rank_);
    EXPUNGE_CHECK(send.size() == ranks && recv.size() == ranks && send_bytes.size() == ranks &&
                      recv_bytes.size() == ranks && send_bytes[me] == recv_bytes[me],
                  "exchange wants one piece for each of {} ranks", size_);
    if (send_bytes[me] > 0 && send[me] != recv[me]) copy(recv[me], send[me], send_bytes[me], queue);

    from_.assign(ranks, nullptr), to_.assign(ranks, nullptr);
    out_bytes_ = send_bytes, in_bytes_ = recv_bytes;
    out_bytes_[me] = in_bytes_[me] = 0;
    char* out = out_.at_least(std::accumulate(out_bytes_.begin(), out_bytes_.end(), std::size_t{0}));
    char* in = in_.at_least(std::accumulate(in_bytes_.begin(), in_bytes_.end(), std::size_t{0}));
    for (std::size_t r = 0; r < ranks; ++r) {
      if (out_bytes_[r] > 0) copy(out, send[r], out_bytes_[r], queue);
      from_[r] = out, to_[r] = in;
      out += out_bytes_[r], in += in_bytes_[r];
    }
    wait(queue);
    host_->exchange(from_, out_bytes_, to_, in_bytes_, nullptr);
    for (std::size_t r = 0; r < ranks; ++r)
      if (in_bytes_[r] > 0) copy(recv[r], to_[r], in_bytes_[r], queue);
    wait(queue);  // the pinned memory is used again by the next call, perhaps on another stream
  }

  void all_gather_slices(void* data, const std::vector<std::size_t>& offsets, void* stream) override {
    const CollectiveScope scope("all_gather_slices", &seconds_);
    const auto queue = static_cast<cudaStream_t>(stream);
    const auto ranks = static_cast<std::size_t>(size_), me = static_cast<std::size_t>(rank_);
    EXPUNGE_CHECK(offsets.size() == ranks + 1, "{} offsets for {} ranks", offsets.size(), size_);
    auto* base = static_cast<char*>(data);
    std::size_t longest = 0;
    for (std::size_t r = 0; r < ranks; ++r) longest = std::max(longest, offsets[r + 1] - offsets[r]);
    for (std::size_t at = 0; at < longest; at += kMostBytes) {
      out_bytes_.assign(ranks, 0);
      for (std::size_t r = 0; r < ranks; ++r) {
        const std::size_t length = offsets[r + 1] - offsets[r];
        out_bytes_[r] = at < length ? std::min(kMostBytes, length - at) : 0;
      }
      char* mine = out_.at_least(out_bytes_[me]);
      char* all = in_.at_least(std::accumulate(out_bytes_.begin(), out_bytes_.end(), std::size_t{0}));
      if (out_bytes_[me] > 0) copy(mine, base + offsets[me] + at, out_bytes_[me], queue);
      wait(queue);
      host_->all_gather(mine, all, out_bytes_);
      for (std::size_t r = 0; r < ranks; all += out_bytes_[r++])
        if (r != me && out_bytes_[r] > 0) copy(base + offsets[r] + at, all, out_bytes_[r], queue);
      wait(queue);
    }
  }

  void native_sum(float* data, std::int64_t count, void* stream) override {
    const CollectiveScope scope("native_sum", &seconds_);
    const auto queue = static_cast<cudaStream_t>(stream);
    constexpr auto most = static_cast<std::int64_t>(kMostBytes / sizeof(float));
    for (std::int64_t at = 0; at < count; at += most) {
      const std::int64_t length = std::min(most, count - at);
      const auto bytes = static_cast<std::size_t>(length) * sizeof(float);
      auto* stage = reinterpret_cast<float*>(out_.at_least(bytes));
      copy(stage, data + at, bytes, queue);
      wait(queue);
      host_->native_sum(stage, length, nullptr);
      copy(data + at, stage, bytes, queue);
      wait(queue);
    }
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    const auto part = host_->split(color, key);
    if (part->size() == 1) return comm::make_self();
    return std::make_unique<StagedCommunicator>(*part);
  }

 private:
  static void copy(void* to, const void* from, std::size_t bytes, cudaStream_t queue) {
    check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, queue), "cudaMemcpyAsync");
  }
  static void wait(cudaStream_t queue) { check_cuda(cudaStreamSynchronize(queue), "cudaStreamSynchronize"); }

  PinnedBuffer out_, in_;
  std::vector<const void*> from_;
  std::vector<void*> to_;
  std::vector<std::size_t> out_bytes_, in_bytes_;
};

}  // namespace

std::unique_ptr<comm::Communicator> make_staged(comm::Communicator& host) {
  return std::make_unique<StagedCommunicator>(host);
}

}  // namespace expunge::cuda
