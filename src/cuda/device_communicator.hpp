// What both GPU transports share: control messages travel in host memory, over a communicator of their own.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace expunge::cuda {

class DeviceCommunicator : public comm::Communicator {
 public:
  // Collective over `host`, which is duplicated.
  explicit DeviceCommunicator(comm::Communicator& host)
      : Communicator(host.rank(), host.size(), host.ranks_per_node()), host_(host.split(0, host.rank())) {}

  void barrier() override { host_->barrier(); }
  void broadcast(void* data, std::size_t bytes, int root) override { host_->broadcast(data, bytes, root); }
  void all_gather(const void* send, void* recv, const std::vector<std::size_t>& counts) override {
    host_->all_gather(send, recv, counts);
  }
  void gather(const void* send, void* recv, const std::vector<std::size_t>& counts, int root) override {
    host_->gather(send, recv, counts, root);
  }

 protected:
  std::unique_ptr<comm::Communicator> host_;
};

std::unique_ptr<comm::Communicator> make_nccl(comm::Communicator& host);
std::unique_ptr<comm::Communicator> make_staged(comm::Communicator& host);

}  // namespace expunge::cuda
