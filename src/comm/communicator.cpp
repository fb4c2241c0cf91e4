#include "comm/communicator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "comm/collective_log.hpp"
#include "core/error.hpp"

namespace expunge::comm {
namespace {

// "rank 3 of 8", "ranks 0, 2 of 8", "ranks 1-4, 7 of 8"
std::string name_ranks(const std::vector<int>& ranks, int size) {
  std::string list;
  for (std::size_t i = 0; i < ranks.size();) {
    std::size_t last = i;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    if (!list.empty()) list += ", ";
    if (last > i + 1) {
      list += fmt::format("{}-{}", ranks[i], ranks[last]);
      i = last + 1;
    } else {
      list += fmt::format("{}", ranks[i++]);
    }
  }
  return fmt::format("{} {} of {}", ranks.size() == 1 ? "rank" : "ranks", list, size);
}

struct Report {
  std::int64_t bytes;
  std::int64_t exit_code;
};

}  // namespace

void Communicator::agree(const std::string& problem, int exit_code) {
  const CollectiveScope scope("agree");
  const auto reports = all_gather_value(
      Report{static_cast<std::int64_t>(problem.size()), static_cast<std::int64_t>(exit_code)});
  std::vector<int> failed;
  std::vector<std::size_t> counts;
  for (int r = 0; r < size_; ++r) {
    counts.push_back(static_cast<std::size_t>(reports[static_cast<std::size_t>(r)].bytes));
    if (counts.back() > 0) failed.push_back(r);
  }
  if (failed.empty()) return;

  std::string all(std::accumulate(counts.begin(), counts.end(), std::size_t{0}), '\0');
  all_gather(problem.data(), all.data(), counts);
  const std::size_t first_length = counts[static_cast<std::size_t>(failed.front())];
  const std::string first = all.substr(0, first_length);
  bool alike = static_cast<int>(failed.size()) == size_;
  for (std::size_t at = 0; alike && at < all.size(); at += first_length)
    alike = all.compare(at, first_length, first) == 0;
  alike = alike && all.size() == first_length * failed.size();
  throw AgreedError(static_cast<int>(reports[static_cast<std::size_t>(failed.front())].exit_code),
                    alike ? first : fmt::format("{}: {}", name_ranks(failed, size_), first));
}

void Communicator::broadcast_text(std::string& text, int root) {
  const CollectiveScope scope("broadcast_text");
  std::uint64_t length = text.size();
  broadcast(&length, sizeof length, root);
  text.resize(length);
  if (length > 0) broadcast(text.data(), length, root);
}

}  // namespace expunge::comm
