// Communicator over NCCL: one GPU a rank. The NCCL communicator is non-blocking: every call may return before
// it is done, is polled until it is, and given up at a deadline, because a rank that is gone would otherwise
// be waited for without end. The work itself is queued on the caller's stream; a kernel that never ends is
// the watchdog's business.
#include <nccl.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "comm/collective_log.hpp"
#include "core/error.hpp"
#include "cuda/cuda_check.hpp"
#include "cuda/device_communicator.hpp"

namespace expunge::cuda {
namespace {

using comm::CollectiveScope;
using Clock = std::chrono::steady_clock;

constexpr auto kDeadline = std::chrono::seconds(120);
constexpr auto kImpatient = std::chrono::milliseconds(2);  // polls without sleeping so long

class NcclCommunicator final : public DeviceCommunicator {
 public:
  explicit NcclCommunicator(comm::Communicator& host) : DeviceCommunicator(host) {
    ncclUniqueId id{};
    host_->together([&] {
      if (rank_ == 0) check_nccl(ncclGetUniqueId(&id), "ncclGetUniqueId");
    });
    host_->broadcast(&id, sizeof id, 0);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    checked(ncclCommInitRankConfig(&nccl_, size_, id, rank_, &config), "ncclCommInitRankConfig");
  }

  // ncclCommDestroy would wait for the other ranks; what this rank wanted of the last collective it has read
  // by now.
  ~NcclCommunicator() override { abandon(); }

  std::string transport() const override { return "nccl"; }

  void exchange(const std::vector<const void*>& send, const std::vector<std::size_t>& send_bytes,
                const std::vector<void*>& recv, const std::vector<std::size_t>& recv_bytes,
                void* stream) override {
    const CollectiveScope scope("exchange", &seconds_);
    const auto queue = static_cast<cudaStream_t>(stream);
    const auto ranks = static_cast<std::size_t>(size_), me = static_cast<std::size_t>(rank_);
    EXPUNGE_CHECK(send.size() == ranks && recv.size() == ranks && send_bytes.size() == ranks &&
                      recv_bytes.size() == ranks && send_bytes[me] == recv_bytes[me],
                  "exchange wants one piece for each of {} ranks", size_);
    if (send_bytes[me] > 0 && send[me] != recv[me])
      check_cuda(cudaMemcpyAsync(recv[me], send[me], send_bytes[me], cudaMemcpyDeviceToDevice, queue),
                 "cudaMemcpyAsync");
    started("ncclGroupStart", ncclGroupStart());
    for (std::size_t r = 0; r < ranks; ++r) {
      if (r == me) continue;
      if (send_bytes[r] > 0)
        started("ncclSend", ncclSend(send[r], send_bytes[r], ncclInt8, static_cast<int>(r), nccl_, queue));
      if (recv_bytes[r] > 0)
        started("ncclRecv", ncclRecv(recv[r], recv_bytes[r], ncclInt8, static_cast<int>(r), nccl_, queue));
    }
    checked(ncclGroupEnd(), "ncclGroupEnd (exchange)");
  }

  void all_gather_slices(void* data, const std::vector<std::size_t>& offsets, void* stream) override {
    const CollectiveScope scope("all_gather_slices", &seconds_);
    const auto queue = static_cast<cudaStream_t>(stream);
    EXPUNGE_CHECK(offsets.size() == static_cast<std::size_t>(size_) + 1, "{} offsets for {} ranks",
                  offsets.size(), size_);
    auto* base = static_cast<char*>(data);
    const std::size_t even = offsets[1] - offsets[0];
    bool all_even = true;
    for (std::size_t r = 1; r + 1 < offsets.size(); ++r)
      all_even = all_even && offsets[r + 1] - offsets[r] == even;
    if (all_even) {
      if (even == 0) return;
      checked(ncclAllGather(base + offsets[static_cast<std::size_t>(rank_)], base + offsets[0], even,
                            ncclInt8, nccl_, queue),
              "ncclAllGather");
      return;
    }
    started("ncclGroupStart", ncclGroupStart());
    for (std::size_t r = 0; r + 1 < offsets.size(); ++r) {
      auto* slice = base + offsets[r];
      if (const std::size_t bytes = offsets[r + 1] - offsets[r]; bytes > 0)
        started("ncclBroadcast",
                ncclBroadcast(slice, slice, bytes, ncclInt8, static_cast<int>(r), nccl_, queue));
    }
    checked(ncclGroupEnd(), "ncclGroupEnd (slices)");
  }

  void native_sum(float* data, std::int64_t count, void* stream) override {
    const CollectiveScope scope("native_sum", &seconds_);
    if (count == 0) return;
    checked(ncclAllReduce(data, data, static_cast<std::size_t>(count), ncclFloat32, ncclSum, nccl_,
                          static_cast<cudaStream_t>(stream)),
            "ncclAllReduce");
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    const auto part = host_->split(color, key);
    if (part->size() == 1) return comm::make_self();
    return std::make_unique<NcclCommunicator>(*part);
  }

 private:
  // Inside a group: only the call itself can fail.
  void started(const char* call, ncclResult_t result) {
    if (result == ncclSuccess || result == ncclInProgress) return;
    abandon();
    check_nccl(result, call);
  }

  // The call, and then its completion.
  void checked(ncclResult_t result, const char* call) {
    started(call, result);
    const auto began = Clock::now();
    while (true) {
      ncclResult_t state = ncclSuccess;
      started("ncclCommGetAsyncError", ncclCommGetAsyncError(nccl_, &state));
      if (state == ncclSuccess) return;
      started(call, state);
      const auto waited = Clock::now() - began;
      if (waited > kDeadline) {
        abandon();
        throw CommError(
            fmt::format("{} is not done after {} s: another rank is stuck or gone", call, kDeadline.count()));
      }
      if (waited > kImpatient) std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }

  void abandon() {
    if (nccl_) ncclCommAbort(nccl_);
    nccl_ = nullptr;
  }

  ncclComm_t nccl_ = nullptr;
};

}  // namespace

std::unique_ptr<comm::Communicator> make_nccl(comm::Communicator& host) {
  return std::make_unique<NcclCommunicator>(host);
}

}  // namespace expunge::cuda
