#include "comm/node_watch.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <mpi.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "comm/mpi.hpp"

namespace expunge::comm {
namespace {

// What ranks of a node tell each other. Process numbers mean the same only inside one namespace.
struct Peer {
  pid_t pid;
  ino_t pid_namespace;
};

Peer self() {
  struct stat info {};
  const bool known = ::stat("/proc/self/ns/pid", &info) == 0;
  return {::getpid(), known ? info.st_ino : 0};
}

int open_process(pid_t pid) {
#ifdef SYS_pidfd_open
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
#else
  (void)pid;
  return -1;
#endif
}

// A page shared by the ranks of the node, made by the first; null where there is no shared memory.
std::atomic<int>* share_flag(MPI_Comm node, int rank, pid_t first_pid) {
  const std::string name = fmt::format("/expunge.{}.{}", ::getuid(), first_pid);
  int fd = -1;
  if (rank == 0) {
    ::shm_unlink(name.c_str());
    fd = ::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0 && ::ftruncate(fd, sizeof(std::atomic<int>)) != 0) {
      ::close(fd);
      fd = -1;
    }
  }
  check_mpi(MPI_Barrier(node), "MPI_Barrier");
  if (rank != 0) fd = ::shm_open(name.c_str(), O_RDWR | O_CLOEXEC, 0600);
  check_mpi(MPI_Barrier(node), "MPI_Barrier");
  if (rank == 0) ::shm_unlink(name.c_str());
  if (fd < 0) return nullptr;
  void* page = ::mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  return page == MAP_FAILED ? nullptr : static_cast<std::atomic<int>*>(page);
}

}  // namespace

struct NodeWatch::Impl {
  std::atomic<int>* spoken = nullptr;  // zero until a rank of this node has spoken
  std::atomic<int> own{0};             // its stand-in without shared memory
  std::vector<pollfd> ends;
  std::vector<std::string> names;
  int wake[2] = {-1, -1};
  std::function<void(const std::string&)> on_death;
  std::thread thread;

  void watch();
};

void NodeWatch::Impl::watch() {
  while (true) {
    const int ready = ::poll(ends.data(), ends.size(), -1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0 || ends[0].revents != 0) return;
    for (std::size_t i = 1; i < ends.size(); ++i)
      if (ends[i].revents != 0) {
        on_death(names[i]);
        return;
      }
  }
}

NodeWatch::NodeWatch(const void* node_handle, const std::function<int(int)>& world_rank_of,
                     std::function<void(const std::string&)> on_death)
    : impl_(std::make_unique<Impl>()) {
  const MPI_Comm node = *static_cast<const MPI_Comm*>(node_handle);
  int rank = 0, size = 1;
  check_mpi(MPI_Comm_rank(node, &rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(node, &size), "MPI_Comm_size");
  const Peer mine = self();
  std::vector<Peer> peers(static_cast<std::size_t>(size));
  check_mpi(MPI_Allgather(&mine, sizeof mine, MPI_BYTE, peers.data(), sizeof mine, MPI_BYTE, node),
            "MPI_Allgather");
  impl_->spoken = share_flag(node, rank, peers[0].pid);
  impl_->on_death = std::move(on_death);
  if (::pipe2(impl_->wake, O_CLOEXEC) != 0) return;
  impl_->ends.push_back({impl_->wake[0], POLLIN, 0});
  impl_->names.emplace_back();
  for (int r = 0; r < size; ++r) {
    const Peer& peer = peers[static_cast<std::size_t>(r)];
    if (r == rank || peer.pid_namespace != mine.pid_namespace) continue;
    const int fd = open_process(peer.pid);
    if (fd < 0) continue;
    impl_->ends.push_back({fd, POLLIN, 0});
    impl_->names.push_back(
        fmt::format("rank {} (process {}) is gone: killed, or out of memory", world_rank_of(r), peer.pid));
  }
  if (impl_->ends.size() > 1) impl_->thread = std::thread([this] { impl_->watch(); });
}

NodeWatch::~NodeWatch() {
  stop();
  for (std::size_t i = 1; i < impl_->ends.size(); ++i) ::close(impl_->ends[i].fd);
  for (const int fd : impl_->wake)
    if (fd >= 0) ::close(fd);
  if (impl_->spoken) ::munmap(impl_->spoken, sizeof(std::atomic<int>));
}

void NodeWatch::stop() {
  if (!impl_->thread.joinable()) return;
  const char byte = 0;
  if (::write(impl_->wake[1], &byte, 1) != 1) return;
  impl_->thread.join();
}

bool NodeWatch::may_speak() { return (impl_->spoken ? impl_->spoken : &impl_->own)->exchange(1) == 0; }

}  // namespace expunge::comm
