// The running number and name of the collective this process is in, or was in last: what the abort line
// prints, so that ranks that went separate ways show as ranks that disagree. Process-wide, shared with the
// CUDA plugin.
#pragma once

#include <cstdint>
#include <string>

namespace expunge::comm {

// Lives as long as one collective call. Only the outermost scope of a thread is numbered and named: an
// exchange inside an ordered sum counts as that ordered sum. Adds the seconds it lived to `*seconds`, when
// given. `name` must be a literal.
class CollectiveScope {
 public:
  explicit CollectiveScope(const char* name, double* seconds = nullptr);
  ~CollectiveScope();
  CollectiveScope(const CollectiveScope&) = delete;
  CollectiveScope& operator=(const CollectiveScope&) = delete;

 private:
  double* seconds_;
  std::int64_t began_ns_ = 0;
};

const char* collective_name();  // of the collective last begun, "" before the first
std::string last_collective();  // "last collective #412 ordered_sum", "no collective yet"
bool inside_collective();       // some thread of this process is inside one
bool checks_collectives();      // EXPUNGE_CHECK_COLLECTIVES is set to something but 0

}  // namespace expunge::comm
