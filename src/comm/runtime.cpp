#include "comm/runtime.hpp"

#include <fmt/format.h>
#include <mpi.h>
#include <sched.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "comm/abort_hook.hpp"
#include "comm/collective_log.hpp"
#include "comm/mpi.hpp"
#include "comm/node_watch.hpp"
#include "comm/nodes.hpp"
#include "comm/watchdog.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/log.hpp"
#include "core/reason.hpp"

namespace expunge::comm {
namespace {

constexpr unsigned kAbortSeconds = 10;    // after which the process ends without MPI's help
constexpr unsigned kLauncherSeconds = 2;  // for the launcher to see itself that a rank is gone
volatile std::sig_atomic_t abort_code_ = kExitInternal;
std::atomic<bool> aborting_{false};
std::mutex hook_mutex_;
std::function<void(int, const std::string&)> hook_;

// mpirun and srun --mpi=pmix tell their processes apart by these.
bool has_launcher() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"})
    if (std::getenv(name)) return true;
  return false;
}

// Defaults for Open MPI that a user's own settings override: a single process starts no helper daemon, and
// shared memory does without cross-memory attach where the kernel refuses it (a container without ptrace),
// silently instead of loudly. Taken back once MPI is up: a program that this one starts (srun of doctor) is
// to find what the user had set.
class MpiDefaults {
 public:
  explicit MpiDefaults(bool launched) {
    if (!launched) set("OMPI_MCA_ess_singleton_isolated", "1");
    char from = 1, to = 0;
    iovec local{&to, 1}, remote{&from, 1};
    if (::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0) != 1)
      set("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
  }
  ~MpiDefaults() {
    for (const char* name : set_) ::unsetenv(name);
  }
  MpiDefaults(const MpiDefaults&) = delete;
  MpiDefaults& operator=(const MpiDefaults&) = delete;

 private:
  void set(const char* name, const char* value) {
    if (std::getenv(name)) return;
    ::setenv(name, value, 1);
    set_.push_back(name);
  }
  std::vector<const char*> set_;
};

std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 3)
    text.replace(at, 1, " | ");
  return text;
}

cpu_set_t affinity() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (::sched_getaffinity(0, sizeof mask, &mask) != 0)
    for (unsigned cpu = 0; cpu < std::max(1u, std::thread::hardware_concurrency()) && cpu < CPU_SETSIZE;
         ++cpu)
      CPU_SET(cpu, &mask);
  return mask;
}

std::string library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  check_mpi(MPI_Get_library_version(text, &length), "MPI_Get_library_version");
  std::string version(text, static_cast<std::size_t>(length));
  version = version.substr(0, version.find_first_of(",\n"));
  if (const auto v = version.find(" v");
      v != std::string::npos && std::isdigit(static_cast<unsigned char>(version[v + 2])))
    version.erase(v + 1, 1);
  return version;
}

}  // namespace

struct Runtime::Impl {
  bool launched = false, finished = false;
  int rank = 0, size = 1, local_rank = 0, local_ranks = 1, cpus = 1;
  std::string host, version;
  std::unique_ptr<Communicator> world;
  std::mutex phase_mutex;
  std::string phase;
  std::terminate_handler previous = nullptr;
  std::unique_ptr<Watchdog> watchdog;
  std::unique_ptr<NodeWatch> node_watch;

  void start_mpi(int* argc, char*** argv);
  void look_around();
  [[noreturn]] void abort(int exit_code, const std::string& message, bool rank_is_gone = false);
  [[noreturn]] void end(int exit_code, bool rank_is_gone);
};

namespace {

std::atomic<Runtime*> active_{nullptr};

// exit() somewhere below: a library gave up, or a fault was injected.
void on_exit_called(int status, void*) {
  Runtime* runtime = active_;
  if (runtime && !aborting_)  // MPI_Abort comes by here, too
    runtime->abort(kExitInternal, fmt::format("exit({}) was called before the end", status));
}

[[noreturn]] void on_terminate() {
  int code = kExitInternal;
  std::string message = "terminated without an exception";
  if (const auto exception = std::current_exception()) {
    try {
      std::rethrow_exception(exception);
    } catch (const Error& error) {
      message = error.what(), code = error.exit_code();
    } catch (const std::exception& error) {
      message = fmt::format("uncaught exception: {}", error.what());
    } catch (...) {
      message = "uncaught exception of an unknown type";
    }
  }
  if (Runtime* runtime = active_) runtime->abort(code, message);
  std::fprintf(stderr, "expunge: fatal: %s\n", message.c_str());
  std::_Exit(code);
}

}  // namespace

void Runtime::Impl::start_mpi(int* argc, char*** argv) {
  int is_up = 0;
  check_mpi(MPI_Initialized(&is_up), "MPI_Initialized");
  EXPUNGE_CHECK(!is_up, "a process has one Runtime");
  declared_ranks_per_node();  // a mistake is told before MPI waits for other ranks
  launched = has_launcher();
  const MpiDefaults defaults(launched);
  int provided = MPI_THREAD_SINGLE;
  check_mpi(MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  if (provided < MPI_THREAD_SERIALIZED)
    throw CommError(fmt::format("MPI offers thread level {}, needed is MPI_THREAD_SERIALIZED", provided));
  check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size");
  version = library_version();
  world = size == 1 ? make_self() : make_mpi_world();
}

// The ranks of this node, and the CPUs this rank may count on.
void Runtime::Impl::look_around() {
  const cpu_set_t mine = affinity();
  std::vector<cpu_set_t> masks{mine};
  if (size > 1) {
    MPI_Comm node = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node),
              "MPI_Comm_split_type");
    check_mpi(MPI_Comm_rank(node, &local_rank), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(node, &local_ranks), "MPI_Comm_size");
    masks.resize(static_cast<std::size_t>(local_ranks));
    check_mpi(MPI_Allgather(&mine, sizeof mine, MPI_BYTE, masks.data(), sizeof mine, MPI_BYTE, node),
              "MPI_Allgather");
    std::vector<int> ranks(static_cast<std::size_t>(local_ranks));
    check_mpi(MPI_Allgather(&rank, 1, MPI_INT, ranks.data(), 1, MPI_INT, node), "MPI_Allgather");
    node_watch = std::make_unique<NodeWatch>(
        &node, [&](int local) { return ranks[static_cast<std::size_t>(local)]; },
        [this](const std::string& what) { abort(kExitComm, what, true); });
    check_mpi(MPI_Comm_free(&node), "MPI_Comm_free");
  }
  int sharing = 0;
  for (const auto& other : masks) {
    cpu_set_t common;
    CPU_AND(&common, &mine, &other);
    sharing += CPU_COUNT(&common) > 0;
  }
  cpus = std::max(1, CPU_COUNT(&mine) / std::max(1, sharing));
}

void Runtime::Impl::abort(int exit_code, const std::string& message, bool rank_is_gone) {
  if (aborting_.exchange(true)) {  // another thread is at it already
    ::sleep(2 * kAbortSeconds);
    ::_exit(exit_code);
  }
  if (node_watch && !node_watch->may_speak()) end(exit_code, rank_is_gone);
  std::string where;
  if (const std::unique_lock lock(phase_mutex, std::try_to_lock); lock.owns_lock() && !phase.empty())
    where = " " + phase;
  const std::string line = fmt::format("expunge: fatal: rank {}/{} {}{}: {} ({})\n", rank, size, host, where,
                                       one_line(message), last_collective());
  if (::ftrylockfile(stdout) == 0) {  // never wait for a thread that is stuck while it prints
    std::fflush(stdout);
    ::funlockfile(stdout);
  }
  // Not through stdio: its lock may be held by a thread that is stuck.
  for (std::size_t done = 0; done < line.size();) {
    const auto written = ::write(STDERR_FILENO, line.data() + done, line.size() - done);
    if (written <= 0) break;
    done += static_cast<std::size_t>(written);
  }
  leave_reason(one_line(message));
  if (const std::unique_lock lock(hook_mutex_, std::try_to_lock); lock.owns_lock() && hook_) {
    try {
      hook_(exit_code, message);
    } catch (const std::exception&) {  // the line above has been printed; the record is a help, no more
    }
  }
  end(exit_code, rank_is_gone);
}

// When another rank is gone, the program's exit code is to be that rank's own (137 of a kill, not always the
// 76 of the rank that noticed): the launcher ends all with it, and only one that has not is told to.
void Runtime::Impl::end(int exit_code, bool rank_is_gone) {
  abort_code_ = exit_code;
  std::signal(SIGALRM, [](int) { ::_exit(abort_code_); });
  ::alarm(kAbortSeconds);
  if (launched && rank_is_gone) ::sleep(kLauncherSeconds);
  if (launched) MPI_Abort(MPI_COMM_WORLD, exit_code);
  ::_exit(exit_code);
}

Runtime::Runtime(int* argc, char*** argv, double stall_seconds) : impl_(std::make_unique<Impl>()) {
  impl_->host = host_name();
  impl_->start_mpi(argc, argv);
  log::set_rank(impl_->rank, impl_->size);
  active_ = this;
  impl_->previous = std::set_terminate(on_terminate);
  static const int registered = ::on_exit(on_exit_called, nullptr);
  EXPUNGE_CHECK(registered == 0, "on_exit is not available");
  impl_->look_around();
  impl_->watchdog =
      std::make_unique<Watchdog>(stall_seconds, impl_->local_rank,
                                 [this](const std::string& message) { impl_->abort(kExitStuck, message); });
}

Runtime::~Runtime() {
  impl_->watchdog.reset();
  impl_->node_watch.reset();
  if (active_ == this) {
    active_ = nullptr;
    std::set_terminate(impl_->previous);
  }
}

Communicator& Runtime::world() { return *impl_->world; }
int Runtime::local_rank() const { return impl_->local_rank; }
int Runtime::local_ranks() const { return impl_->local_ranks; }
int Runtime::available_cpus() const { return impl_->cpus; }
std::string Runtime::mpi_version() const { return impl_->version; }

void Runtime::tick() {
  if (impl_->watchdog) impl_->watchdog->tick();
}

void Runtime::phase(const std::string& name) {
  {
    const std::lock_guard lock(impl_->phase_mutex);
    impl_->phase = name;
  }
  tick();
}

void Runtime::set_stall_limit(double seconds) {
  if (impl_->watchdog) impl_->watchdog->set_limit(seconds);
}

void Runtime::suspend_watchdog(bool suspended) {
  if (impl_->watchdog) impl_->watchdog->suspend(suspended);
}

void set_abort_hook(std::function<void(int, const std::string&)> hook) {
  const std::lock_guard lock(hook_mutex_);
  hook_ = std::move(hook);
}

void Runtime::finish() {
  EXPUNGE_CHECK(!impl_->finished, "finish() is called once");
  phase("finish");
  if (impl_->node_watch) impl_->node_watch->stop();
  impl_->world->barrier();
  impl_->finished = true;
  check_mpi(MPI_Finalize(), "MPI_Finalize");
  impl_->watchdog.reset();
}

void Runtime::abort(int exit_code, const std::string& message) { impl_->abort(exit_code, message); }

}  // namespace expunge::comm
