#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "comm/gpu.hpp"
#include "core/counted.hpp"
#include "core/error.hpp"
#include "core/text.hpp"

namespace expunge::comm {
namespace {

struct Presence {
  bool has_gpu = false;
  std::array<char, 63> uuid{};
};

std::vector<Presence> look_at_devices(Communicator& host, const GpuPlugin* gpu) {
  Presence mine;
  host.together([&] {
    mine.has_gpu = gpu != nullptr;
    if (!gpu) return;
    const auto uuid = gpu->device(gpu->current_device()).uuid;
    EXPUNGE_CHECK(!uuid.empty() && uuid.size() < mine.uuid.size(), "a GPU with uuid \"{}\"", uuid);
    std::copy(uuid.begin(), uuid.end(), mine.uuid.begin());
  });
  return host.all_gather_value(mine);
}

}  // namespace

std::unique_ptr<Communicator> make_transport(Communicator& host, const std::string& wish,
                                             const GpuPlugin* gpu) {
  static const std::vector<std::string> wishes{"auto", "mpi", "nccl", "staged"};
  if (std::find(wishes.begin(), wishes.end(), wish) == wishes.end())
    throw ConfigError(fmt::format("unknown transport \"{}\"{}", wish, did_you_mean(wish, wishes)));

  const auto ranks = look_at_devices(host, gpu);
  std::set<std::string> devices;
  std::size_t with_gpu = 0;
  for (const auto& rank : ranks) {
    with_gpu += rank.has_gpu;
    if (rank.has_gpu) devices.insert(rank.uuid.data());
  }
  if (with_gpu != 0 && with_gpu != ranks.size())
    throw CommError(fmt::format("only {} of {} ranks have a usable GPU", with_gpu, ranks.size()));
  const bool shared = devices.size() < with_gpu;

  if ((wish == "nccl" || wish == "staged") && with_gpu == 0)
    throw ConfigError(fmt::format("transport \"{}\" needs a GPU", wish));
  if (wish == "nccl" && shared)
    throw ConfigError(
        fmt::format("transport \"nccl\" needs one GPU a rank; {} ranks share {}: use \"staged\"",
                    ranks.size(), counted(std::ssize(devices), "GPU")));
  if (wish == "nccl") return gpu->make_nccl(host);
  if (wish == "staged") return gpu->make_staged(host);
  if (host.size() == 1 || wish == "mpi" || with_gpu == 0) return host.split(0, host.rank());
  return shared ? gpu->make_staged(host) : gpu->make_nccl(host);
}

}  // namespace expunge::comm
