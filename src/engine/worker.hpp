// A group of ranks at work on a list of nodes (originals or cells): claim the next missing one, compute it,
// publish it, leave a reason when it fails.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "engine/claims.hpp"
#include "engine/workbench.hpp"

namespace expunge {

struct Item {
  std::string id, key;
  std::filesystem::path store;
  std::function<void(comm::Communicator&)> compute;  // computes and publishes
};

// A readable store counts as done; a damaged one is removed, to be made again.
bool finished(const Item& item);

// The one-line reason that every failing run leaves; `run` names the run. On a full disk there is none: the
// program's message has to do.
void write_failure(const sweep::Layout& layout, const Item& item, int exit_code, const std::string& reason,
                   const std::string& run);

class Worker {
 public:
  // `run`: names this call of the program in failure records.
  Worker(Workbench& bench, Claims& claims, comm::Communicator& group, std::string run)
      : bench_(bench), claims_(claims), group_(group), run_(std::move(run)) {}

  // Works through the items until all are done, failed or held by others; with `wait`, until others have
  // finished theirs too. Collective over the group. Items that fail are recorded and left; where nothing can
  // be written (73) the program ends.
  void work(const std::vector<Item>& items, bool wait);

  int failed() const { return failed_; }
  bool input_missing() const { return input_missing_; }  // of an item that failed with 66
  bool interrupted() const { return interrupted_; }
  // What this rank works on; for the abort path, which may run on another thread.
  const Item* current() const { return current_; }

 private:
  bool stop_asked();
  int choose(const std::vector<Item>& items, std::set<std::size_t>& settled);
  bool failed_here(const Item& item) const;
  void run_item(const Item& item);
  void settle_failure(const Item& item, const Error& error);

  Workbench& bench_;
  Claims& claims_;
  comm::Communicator& group_;
  std::string run_;
  std::atomic<const Item*> current_{nullptr};
  int failed_ = 0;
  bool interrupted_ = false, input_missing_ = false;
};

}  // namespace expunge
