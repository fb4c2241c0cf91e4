// A board beside published tables. The tables are data (data/published/NAME.json) with their citation, the
// settings they come from and what is wrong with them in print; nothing is corrected.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "board/leaderboard.hpp"

namespace expunge::board {

struct PublishedColumn {
  std::string title;
  std::string dataset;          // of ours; empty: an average over the paper's data sets
  std::string metric;           // column of a leaderboard; empty: this program computes no such number
  double scale = 1;             // printed = scale * ours
  std::optional<double> ratio;  // the column is about this deletion ratio only
};

struct PublishedRow {
  std::string printed, method, trainable;
  std::vector<std::optional<double>> values;
};

struct PublishedTable {
  std::string id, title;
  std::vector<PublishedColumn> columns;
  std::vector<PublishedRow> rows;
  std::vector<std::string> warnings;
};

struct Published {
  std::string name, citation, settings;
  std::vector<PublishedTable> tables;
  std::vector<std::pair<std::string, std::string>> stand_ins;  // data set of the paper, ours in its place
};

// Names of the files in the folder, sorted.
std::vector<std::string> published_names(const std::filesystem::path& folder);

// UsageError for an unknown name (the folder's are named), DataError 65 for a file that is no such table.
Published read_published(const std::filesystem::path& folder, const std::string& name);

// Ours for one number: the mean over the groups that match, and in which way they are not the paper's.
struct Ours {
  std::size_t groups = 0;
  double value;             // scaled; NaN without a match
  bool other_data = false;  // a stand-in, or an average over other data sets
};
Ours ours_of(const Leaderboard& leaderboard, const Published& paper, const PublishedColumn& column,
             const PublishedRow& row);

// Every table as text: paper, ours and the difference, with marks for what does not match.
std::string render_published(const Leaderboard& leaderboard, const Published& paper);

}  // namespace expunge::board
