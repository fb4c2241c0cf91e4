#include "cluster/reasons.hpp"

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"

namespace expunge::cluster {
namespace {

constexpr int kKilled = 128;       // exit codes above: a signal
constexpr double kNearLimit = 90;  // seconds before the time limit that count as reached

// What an exit code of a task means where no failure record says more.
std::string exit_text(int code) {
  switch (code) {
    case kExitRequeue:
      return "checkpointed at its time limit, and was not put back into the queue";
    case kExitTooManyRestarts:
      return "restarted too often without finishing";
    case kExitComm:
      return "a rank was killed, or communication failed";
    case kExitStuck:
      return "no progress within the stall limit";
    case kExitMissing:
      return "an input was missing";
    default:
      return code > kKilled ? fmt::format("killed by signal {}", code - kKilled)
                            : fmt::format("ended with exit code {}", code);
  }
}

// Nothing where there is no such file, or it cannot be read.
std::optional<std::string> first_line(const fs::path& path) {
  try {
    return split(read_file(path), '\n').front();
  } catch (const DataError&) {
    return std::nullopt;
  }
}

// By what the task's script wrote when it ended.
void explain_by_record(const nlohmann::json& record, const Place& place, NodeState& node) {
  const int code = record.value("exit", 0);
  if (code == 0) return;
  const double seconds = record.value("seconds", 0.0);
  const bool at_limit =
      code > kKilled && seconds >= static_cast<double>(place.submission->time_limit) - kNearLimit;
  node.state = code == kExitRequeue || at_limit ? State::kTimedOut : State::kFailed;
  std::string reason = at_limit ? "reached its time limit" : exit_text(code);
  if (code != kExitRequeue)
    if (const auto line = first_line(place.submission->reason_file(*place.chunk, place.task))) reason = *line;
  node.reason = fmt::format("job {} on {}: {}", node.job, record.value("host", "?"), reason);
}

}  // namespace

std::string element_name(const Chunk& chunk, std::size_t task) {
  return chunk.stage == "reduce" ? chunk.job : fmt::format("{}_{}", chunk.job, task);
}

std::optional<nlohmann::json> read_json(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  auto out = nlohmann::json::object();
  try {
    const auto read = nlohmann::json::parse(read_file(path));
    if (read.is_object()) out = read;
  } catch (const std::exception&) {  // a damaged record costs a reason, no more
  }
  return out;
}

void explain_end(const sweep::Layout& layout, const std::string& id, const Place& place,
                 const std::map<Element, JobEnd>& ends, NodeState& node) {
  if (node.state != State::kMissing && node.state != State::kFailed) return;
  if (!place.chunk || place.chunk->job.empty()) return;
  node.job = element_name(*place.chunk, place.task);
  if (place.chunk->state == ChunkState::kCancelled) {
    if (node.state == State::kMissing) node.reason = "cancelled";
    return;
  }
  const auto end = ends.find({place.chunk->job, static_cast<std::int64_t>(place.task)});
  if (end != ends.end() && (end->second.state == "TIMEOUT" || end->second.state == "DEADLINE")) {
    node.state = State::kTimedOut;
    node.reason = fmt::format("job {} reached its time limit", node.job);
    return;
  }
  if (node.state == State::kFailed) return;  // its own record says why
  if (const auto record = read_json(place.submission->ended_file(*place.chunk, place.task))) {
    explain_by_record(*record, place, node);
    return;
  }
  if (end != ends.end()) {
    if (end->second.state == "COMPLETED") return;
    node.state = State::kFailed;
    node.reason = fmt::format("job {}: {} ({})", node.job, end->second.state, end->second.reason);
    return;
  }
  if (const auto claim = read_json(layout.claim(id))) {
    node.state = State::kFailed;
    node.reason = fmt::format("{} (process {}) ended in the middle of it", claim->value("host", "?"),
                              claim->value("pid", 0L));
    return;
  }
  node.reason = fmt::format("job {} left the queue without a word", node.job);
}

}  // namespace expunge::cluster
