#include "engine/worker.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/files.hpp"
#include "core/log.hpp"
#include "core/signals.hpp"
#include "engine/cell.hpp"
#include "store/store_file.hpp"

namespace expunge {
namespace {

enum class Next : int { kNothing = -1, kWait = -2 };

constexpr auto kLookAgain = std::chrono::milliseconds(300);

}  // namespace

bool finished(const Item& item) {
  if (!std::filesystem::exists(item.store)) return false;
  try {
    store::read_row(item.store);
    return true;
  } catch (const DataError& error) {
    log::warn("{}; computing it again", error.what());
    std::error_code ignored;
    if (error.exit_code() == kExitCorrupt) std::filesystem::remove(item.store, ignored);
    return false;
  }
}

void write_failure(const sweep::Layout& layout, const Item& item, int exit_code, const std::string& reason,
                   const std::string& run) {
  try {
    const auto path = layout.failure(item.id);
    make_folder(path.parent_path());
    write_file_atomic(path, nlohmann::json{{"id", item.id},
                                           {"key", item.key},
                                           {"reason", reason},
                                           {"exit_code", exit_code},
                                           {"host", host_name()},
                                           {"run", run},
                                           {"time", utc_now()}}
                                    .dump(2) +
                                "\n");
  } catch (const Error& error) {
    log::warn("{}", error.what());
  }
}

// Signals reach ranks at different times: all leave when one has seen it.
bool Worker::stop_asked() {
  const auto asked = group_.all_gather_value(requested_exit());
  return std::any_of(asked.begin(), asked.end(), [](int code) { return code != 0; });
}

void Worker::work(const std::vector<Item>& items, bool wait) {
  std::set<std::size_t> settled;
  while (!stop_asked()) {
    int choice = static_cast<int>(Next::kNothing);
    group_.together([&] {
      if (group_.rank() == 0) choice = choose(items, settled);
    });
    group_.broadcast(&choice, sizeof choice, 0);
    if (choice == static_cast<int>(Next::kNothing) || (choice == static_cast<int>(Next::kWait) && !wait))
      return;
    if (choice == static_cast<int>(Next::kWait)) {
      bench_.runtime.tick();
      std::this_thread::sleep_for(kLookAgain);
      continue;
    }
    const Item& item = items[static_cast<std::size_t>(choice)];
    settled.insert(static_cast<std::size_t>(choice));
    run_item(item);
  }
}

int Worker::choose(const std::vector<Item>& items, std::set<std::size_t>& settled) {
  bool others = false;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (settled.count(i)) continue;
    if (finished(items[i]) || failed_here(items[i])) {
      settled.insert(i);
      continue;
    }
    if (!claims_.take(bench_.layout.claim(items[i].id))) {
      others = true;
      continue;
    }
    if (finished(items[i])) {  // published between the two looks
      claims_.release(bench_.layout.claim(items[i].id));
      settled.insert(i);
      continue;
    }
    return static_cast<int>(i);
  }
  return static_cast<int>(others ? Next::kWait : Next::kNothing);
}

// Another group of this run has tried it already.
bool Worker::failed_here(const Item& item) const {
  const auto path = bench_.layout.failure(item.id);
  if (!std::filesystem::exists(path)) return false;
  try {
    return nlohmann::json::parse(read_file(path)).value("run", "") == run_;
  } catch (const std::exception&) {
    return false;
  }
}

void Worker::run_item(const Item& item) {
  bench_.runtime.phase(item.key);
  current_ = &item;
  try {
    item.compute(group_);
    std::error_code ignored;
    if (group_.rank() == 0) std::filesystem::remove(bench_.layout.failure(item.id), ignored);
  } catch (const Interrupted&) {
    interrupted_ = true;
  } catch (const CommError&) {
    throw;
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    settle_failure(item, error);
  }
  current_ = nullptr;
  if (group_.rank() == 0) claims_.release(bench_.layout.claim(item.id));
}

void Worker::settle_failure(const Item& item, const Error& error) {
  if (error.exit_code() == kExitCannotWrite) {
    // Computing on would be for nothing. One rank of the group ends the program; its abort leaves the record.
    if (group_.rank() == 0) bench_.runtime.abort(error.exit_code(), error.what());
    while (true) ::pause();
  }
  ++failed_;
  input_missing_ |= error.exit_code() == kExitMissing;
  if (group_.rank() != 0) return;
  log::warn("{}: failed: {}", item.key, error.what());
  write_failure(bench_.layout, item, error.exit_code(), error.what(), run_);
}

}  // namespace expunge
