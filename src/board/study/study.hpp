// Questions of the papers, answered from boards and kept outputs. A study is one file that registers itself;
// `expunge study NAME` prints its tables and plots.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "board/board.hpp"
#include "board/plots.hpp"

namespace expunge::board {

struct StudyTable {
  std::string title;
  std::vector<std::vector<std::string>> rows;  // the first is the header
};

// Points of a plot; a line joins them in order where `joined`.
struct Series {
  std::string name;
  std::vector<double> x, y;
  bool joined = true;
};

struct StudyPlot {
  std::string name, title, x_title, y_title;  // name: of its SVG file
  std::vector<Series> series;
};

struct StudyReport {
  std::vector<StudyTable> tables;
  std::vector<StudyPlot> plots;
  std::vector<std::string> notes;
};

// One board and the folder of its sweep (where its stores lie).
struct StudySource {
  std::filesystem::path folder;
  Board board;
};

struct StudyOptions {
  std::vector<double> kappas = {0.05, 0.20};  // capacity
  std::string column;                         // which column, where a study asks for one; "" = its own choice
  std::string by;                             // variants: path of a setting
  std::int64_t evaluation_seeds = 5;          // variance
  double gap = 0.01;                          // variance: the difference to be shown
};

struct Study {
  std::string name, summary, source;
  std::function<StudyReport(const std::vector<StudySource>&, const StudyOptions&)> run;
};

const std::vector<Study>& studies();  // by name
const Study* find_study(const std::string& name);
struct RegisterStudy {
  explicit RegisterStudy(Study study);
};

// Tables aligned, plots as characters, notes: for a terminal.
std::string study_text(const StudyReport& report);
// All tables as comma-separated values, each after a line `# title`.
std::string study_csv(const StudyReport& report);
std::string study_svg(const StudyPlot& plot);

// Shared by the studies.
std::string place_text(const Row& row);  // "cifar10 · resnet20"
// NaN where the board has no such column or the cell is not merged.
double value_at(const Board& board, const Row& row, const std::string& column);
double seconds_at(const Board& board, const Row& row, const std::string& name);
// A setting of a cell as text, by its path below `settings`, e.g. "budget.percent_of_retrain"; "" when unset.
std::string setting_at(const Row& row, const std::string& path);
std::string percent(double share);  // "12.3", "-" for NaN
// Test accuracy of the cell's original, from its store; NaN when the store is not there.
double original_accuracy(const StudySource& source, const std::string& original_id);

}  // namespace expunge::board
