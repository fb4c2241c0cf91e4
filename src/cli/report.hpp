// What doctor found: a line a finding, with what to change.
#pragma once

#include <fmt/format.h>

#include <string>

namespace expunge::cli {

// Prints where `speaks`, and counts what should be changed.
class Report {
 public:
  explicit Report(bool speaks) : speaks_(speaks) {}
  void ok(const std::string& what, const std::string& found) { line("ok", what, found); }
  void note(const std::string& what, const std::string& found) { line("note", what, found); }
  void warn(const std::string& what, const std::string& found, const std::string& change) {
    ++findings_;
    line("warn", what, found);
    if (speaks_) fmt::print("{:<7}{:<10}-> {}\n", "", "", change);
  }
  int findings() const { return findings_; }

 private:
  void line(const char* state, const std::string& what, const std::string& found) {
    if (!speaks_) return;
    fmt::print("{:<7}{:<10}{}\n", state, what, found);
    std::fflush(stdout);
  }
  bool speaks_;
  int findings_ = 0;
};

}  // namespace expunge::cli
