#include "core/fault.hpp"

#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <map>
#include <optional>

#include "core/error.hpp"
#include "core/text.hpp"

namespace expunge::fault {
namespace {

constexpr int kFaultExit = 3;  // what kind:exit leaves with: no code of this program means it

struct Place {
  int rank = 0, first = 0, end = 1;
};

std::optional<Fault> current;
Place place;
std::int64_t steps = 0;
bool fired = false;

const Fault& fault() {
  if (!current) {
    const char* text = std::getenv("EXPUNGE_FAULT");
    current = parse(text ? text : "");
  }
  return *current;
}

[[noreturn]] void mistake(const std::string& message) {
  throw ConfigError(fmt::format("EXPUNGE_FAULT: {} (like rank:1,step:3,kind:throw)", message));
}

std::int64_t number_of(const std::string& key, const std::string& text, std::int64_t least) {
  std::int64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size() || out < least)
    mistake(fmt::format("{}:{}: expected an integer >= {}", key, text, least));
  return out;
}

template <class T>
const T& one_of(const std::string& key, const std::string& text, const std::map<std::string, T>& table) {
  const auto found = table.find(text);
  if (found != table.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [name, value] : table) names.push_back(name);
  mistake(fmt::format("unknown {} \"{}\"{}", key, text, did_you_mean(text, names)));
}

bool writes_for_struck_rank() {
  return fault().rank >= place.first && fault().rank < place.end && steps >= fault().step;
}

[[noreturn]] void die() {
  ::kill(::getpid(), SIGKILL);
  ::_exit(128 + SIGKILL);
}

}  // namespace

Fault parse(const std::string& text) {
  static const std::map<std::string, Kind> kinds = {
      {"throw", Kind::kThrow}, {"exit", Kind::kExit},     {"kill", Kind::kKill},        {"hang", Kind::kHang},
      {"nan", Kind::kNan},     {"enospc", Kind::kEnospc}, {"truncate", Kind::kTruncate}};
  static const std::map<std::string, int> stages = {{"create", 0}, {"write", 1},  {"flush", 2},
                                                    {"fsync", 3},  {"rename", 4}, {"folder", 5}};
  Fault out;
  if (text.empty()) return out;
  for (const auto& part : split(text, ',')) {
    const auto colon = part.find(':');
    const std::string key = part.substr(0, colon), value = colon == part.npos ? "" : part.substr(colon + 1);
    if (key == "rank") {
      out.rank = static_cast<int>(number_of(key, value, 0));
    } else if (key == "step") {
      out.step = number_of(key, value, 1);
    } else if (key == "kind") {
      out.kind = one_of(key, value, kinds);
    } else if (key == "stage") {
      one_of(key, value, stages);
      out.stage = value;
    } else {
      mistake(fmt::format("unknown \"{}\"{}", key, did_you_mean(key, {"rank", "step", "kind", "stage"})));
    }
  }
  if (out.kind == Kind::kNone) mistake("kind is missing");
  if (!out.stage.empty() && out.kind != Kind::kKill) mistake("stage goes with kind:kill");
  return out;
}

void configure(const Fault& wanted) {
  current = wanted;
  steps = 0;
  fired = false;
}

void set_place(int rank, int first_of_group, int end_of_group) {
  place = {rank, first_of_group, end_of_group};
  fault();
}

bool at_step() {
  ++steps;
  const Fault& f = fault();
  if (f.kind == Kind::kNone || fired || !f.stage.empty() || f.rank != place.rank || steps < f.step)
    return false;
  switch (f.kind) {
    case Kind::kThrow:
      fired = true;
      throw InternalError(fmt::format("EXPUNGE_FAULT: throw at step {}", steps));
    case Kind::kExit:
      std::exit(kFaultExit);
    case Kind::kKill:
      die();
    case Kind::kHang:
      while (true) ::pause();
    case Kind::kNan:
      return fired = true;
    default:
      return false;  // struck when it writes
  }
}

void not_struck() { fired = false; }

void at_stage(const char* stage) {
  const Fault& f = fault();
  if (f.kind == Kind::kKill && f.stage == stage && f.rank == place.rank) die();
}

bool disk_is_full() { return fault().kind == Kind::kEnospc && writes_for_struck_rank(); }
bool cuts_files_short() { return fault().kind == Kind::kTruncate && writes_for_struck_rank(); }

}  // namespace expunge::fault
