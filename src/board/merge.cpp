#include "board/merge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "board/scan.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/numbers.hpp"
#include "core/text.hpp"

namespace expunge::board {
namespace {

constexpr std::size_t kMostLines = 20;

struct Failure {
  std::string reason;  // empty: there is no record
  std::string line;
};

Failure read_failure(const fs::path& folder, const std::string& id) {
  const fs::path path = folder / "failures" / (id + ".json");
  std::error_code ignored;
  if (id.empty() || !fs::exists(path, ignored)) return {};
  try {
    const auto json = nlohmann::json::parse(read_file(path));
    const auto reason = json.value("reason", "no reason recorded");
    return {reason, fmt::format("{} (exit {}, {}, {})", reason, json.value("exit_code", 0),
                                json.value("host", "?"), json.value("time", "?"))};
  } catch (const std::exception& error) {
    return {"unreadable failure record",
            fmt::format("unreadable failure record {}: {}", path.filename().string(), error.what())};
  }
}

// Puts what the stores say into the rows of the plan's cells, a store at a time: a large sweep is in memory
// once. A store in its own place (cells/ab/ID.h5) goes straight into its row; others are kept until all are
// known.
class Folding {
 public:
  Folding(const fs::path& folder, SweepPlan& plan, Merge& merge)
      : folder_(folder), board_(merge.board), merge_(merge) {
    board_.rows.resize(plan.cells.size());
    restarts_.resize(plan.cells.size(), 0);
    planned_.reserve(plan.cells.size());
    for (std::size_t i = 0; i < plan.cells.size(); ++i) {
      Row& row = board_.rows[i];
      row.cell = std::move(plan.cells[i]);
      row.values.assign(board_.row_names.size(), kNan);
      planned_.emplace(row.cell.id, static_cast<std::uint32_t>(i));
    }
  }

  void add(Found&& found) {
    const auto cell = planned_.find(found.header.id);
    if (found.state.empty() && found.header.kind != "run") {
      found.state = "foreign";
      found.reason = fmt::format("holds an {}", found.header.kind);
    } else if (found.state.empty() && cell == planned_.end()) {
      found.state = "foreign";
      found.reason = fmt::format("belongs to no cell of this sweep: {} of sweep \"{}\"", found.header.key,
                                 found.header.sweep);
    }
    if (!found.state.empty()) {
      merge_.problems[found.state].push_back(fmt::format("cells/{}: {}", found.file, found.reason));
      if (const auto named = planned_.find(fs::path(found.file).stem().string()); named != planned_.end())
        broken_[named->second] = {std::move(found.state), std::move(found.reason)};
    } else if (found.file == place_of(found.header.id)) {
      restarts_[cell->second] = found.header.restart_count;
      take(board_.rows[cell->second], found);
    } else {
      elsewhere_[cell->second].push_back(std::move(found));
    }
  }

  // To be called once all stores were added.
  void finish() {
    for (std::size_t i = 0; i < board_.rows.size(); ++i) {
      Row& row = board_.rows[i];
      if (const auto more = elsewhere_.find(i); more != elsewhere_.end())
        choose(row, restarts_[i], more->second);
      if (!row.merged()) {
        explain(row, i);
        merge_.again.push_back(i);
      }
    }
    sort_timing();
  }

 private:
  struct Broken {
    std::string state, reason;
  };

  static std::string place_of(const std::string& id) { return id.substr(0, 2) + "/" + id + ".h5"; }

  // Moves what the store said into the row.
  void take(Row& row, Found& found) {
    auto& h = found.header;
    row.status = std::move(h.status);
    row.reason = std::move(h.status_text);
    row.values = std::move(h.row);
    row.timing.assign(board_.timing_names.size(), kNan);
    for (const auto& [name, seconds] : h.timing) row.timing[timing_column(row, name)] = seconds;
    row.parameter_hash = std::move(h.parameter_hash);
    row.science_sha256 = std::move(h.science_sha256);
    row.config_sha256 = std::move(h.config_sha256);
    row.config_json = std::move(found.settings);
    row.git_hash = std::move(h.git_hash);
    row.host = std::move(h.host);
  }

  std::size_t timing_column(Row& row, const std::string& name) {
    auto& names = board_.timing_names;
    const auto at = static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    if (at == names.size()) names.push_back(name);
    if (at >= row.timing.size()) row.timing.resize(at + 1, kNan);
    return at;
  }

  // Of several stores of one cell: equal science keeps any of them; else the one of the latest restart
  // stands, then the first name.
  void choose(Row& row, std::int64_t restarts, std::vector<Found>& others) {
    struct Candidate {
      std::string file, science;
      std::int64_t restarts;
      Found* found;  // null: what is in the row
    };
    std::vector<Candidate> stores;
    if (row.merged()) stores.push_back({place_of(row.cell.id), row.science_sha256, restarts, nullptr});
    for (auto& other : others)
      stores.push_back({other.file, other.header.science_sha256, other.header.restart_count, &other});
    std::sort(stores.begin(), stores.end(), [](const Candidate& a, const Candidate& b) {
      return std::tie(b.restarts, a.file) < std::tie(a.restarts, b.file);
    });
    const Candidate& kept = stores.front();
    const bool same =
        std::ranges::all_of(stores, [&](const Candidate& c) { return c.science == kept.science; });
    for (std::size_t i = 1; i < stores.size(); ++i)
      merge_.problems[same ? "duplicate" : "conflict"].push_back(
          fmt::format("{}: {} and {} {}; the first is used", row.cell.key, kept.file, stores[i].file,
                      same ? "are equal" : "differ"));
    if (kept.found) take(row, *kept.found);
    if (!same) row.reason = fmt::format("{} stores differ; {} is used", stores.size(), kept.file);
  }

  // A cell without a usable store.
  void explain(Row& row, std::size_t i) {
    if (const auto broken = broken_.find(i); broken != broken_.end()) {
      row.status = broken->second.state;
      row.reason = broken->second.reason;
      return;  // listed with the files
    }
    if (const Failure own = read_failure(folder_, row.cell.id); !own.reason.empty()) {
      row.status = "failed";
      row.reason = own.reason;
      merge_.problems["failed"].push_back(fmt::format("{} {}: {}", row.cell.id, row.cell.key, own.line));
      return;
    }
    row.status = "missing";
    const Failure original = read_failure(folder_, row.cell.original_id);
    row.reason = original.reason.empty() ? "not run" : "its original failed: " + original.reason;
    merge_.problems["missing"].push_back(fmt::format("{} {}: {}", row.cell.id, row.cell.key, row.reason));
  }

  // Names were found in the stores' order; columns stand by name.
  void sort_timing() {
    auto& names = board_.timing_names;
    std::vector<std::size_t> order(names.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return names[a] < names[b]; });
    std::vector<std::string> sorted;
    for (const std::size_t at : order) sorted.push_back(names[at]);
    for (auto& row : board_.rows) {
      std::vector<double> timing;
      timing.reserve(order.size());
      for (const std::size_t at : order) timing.push_back(at < row.timing.size() ? row.timing[at] : kNan);
      row.timing = std::move(timing);
    }
    names = std::move(sorted);
  }

  const fs::path& folder_;
  Board& board_;
  Merge& merge_;
  std::unordered_map<std::string_view, std::uint32_t> planned_;  // rows by id
  std::vector<std::int64_t> restarts_;                           // of the store in its own place
  std::map<std::size_t, std::vector<Found>> elsewhere_;          // by row
  std::map<std::size_t, Broken> broken_;                         // by the row that the file's name tells
};

// `0-3,7`.
std::string ranges(const std::vector<std::size_t>& sorted) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < sorted.size();) {
    std::size_t j = i;
    while (j + 1 < sorted.size() && sorted[j + 1] == sorted[j] + 1) ++j;
    parts.push_back(i == j ? std::to_string(sorted[i]) : fmt::format("{}-{}", sorted[i], sorted[j]));
    i = j + 1;
  }
  return join(parts, ",");
}

// Two runs of one cell that gave different results: the loser left a record, the store is the winner's.
void list_conflicts(const fs::path& folder, Merge& merge) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder / "conflicts", ignored))
    merge.problems["conflict"].push_back(
        fmt::format("conflicts/{}: two runs of this cell differ; the store is of the first",
                    entry.path().filename().string()));
}

}  // namespace

Merge merge(const fs::path& folder, int readers, const fs::path& index) {
  SweepPlan plan = read_plan(folder / "plan.json");
  Merge out;
  Board& board = out.board;
  board.sweep = plan.name;
  board.sweep_sha256 = plan.sha256;
  board.row_names = plan.row_names;
  Folding folding(folder, plan, out);
  const auto unfinished = scan_stores(folder / "cells", plan.row_names, readers, index,
                                      [&](Found&& found) { folding.add(std::move(found)); });
  folding.finish();
  std::sort(board.rows.begin(), board.rows.end(), [](const Row& a, const Row& b) {
    return std::tie(a.cell.key, a.cell.id) < std::tie(b.cell.key, b.cell.id);
  });
  list_conflicts(folder, out);
  for (const auto& file : unfinished)
    out.problems["unfinished"].push_back(fmt::format("cells/{}: not published; ignored", file));
  return out;
}

std::string report(const Merge& merge) {
  std::string out;
  for (const auto& [kind, lines] : merge.problems) {
    for (std::size_t i = 0; i < std::min(kMostLines, lines.size()); ++i)
      out += fmt::format("{}: {}\n", kind, lines[i]);
    if (lines.size() > kMostLines) out += fmt::format("{}: {} more\n", kind, lines.size() - kMostLines);
  }
  if (!merge.again.empty()) out += fmt::format("without a result: --cells {}\n", ranges(merge.again));
  const Board& b = merge.board;
  const auto listed = [&](const char* kind) {
    const auto found = merge.problems.find(kind);
    return found == merge.problems.end() ? std::size_t{0} : found->second.size();
  };
  std::vector<std::string> parts = {fmt::format("merged {} of {}", b.merged(), b.rows.size())};
  for (const char* kind : {"failed", "corrupt", "foreign", "missing"})
    parts.push_back(fmt::format("{} {}", kind, listed(kind)));
  for (const char* kind : {"duplicate", "conflict", "unfinished"})
    if (listed(kind) > 0) parts.push_back(fmt::format("{} {}", kind, listed(kind)));
  return out + join(parts, "; ") + "\n";
}

}  // namespace expunge::board
