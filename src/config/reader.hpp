// Typed options out of job files. A Reader is one section as one cell sees it: a stack of tables, later ones
// override earlier ones. It remembers what was read, so that leftovers are unknown keys and the resolved
// section (defaults included) can be stored. Problems are collected, never thrown one by one: a user sees
// them all at once.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace expunge::config {

// Where a value was written: "jobs/x.toml:14:10", or "--set" with line 0.
struct Position {
  std::string file;
  int line = 0, column = 0;
  std::string text() const;
};

// One value of a job file. Tables are `children`; arrays and scalars are `value`.
struct Node {
  nlohmann::json value;                  // null for tables
  std::map<std::string, Node> children;  // tables only
  bool is_table = false;
  Position at;
  std::string path;  // where it was written: "dataset.cifar10.train.lr"; empty where no file was read
  std::vector<Position> items;  // of an array's elements; may be empty
};

// A table out of a JSON object, without positions.
Node node_from_json(const nlohmann::json& object);

// All problems of a job, in file order. Each prints as `FILE:LINE:COLUMN: section.key: message`.
class Diagnostics {
 public:
  // Two messages about one value are the same problem when they agree up to the first `;` (what follows is a
  // suggestion): only the first is kept.
  void add(const Position& at, const std::string& path, const std::string& message);
  bool empty() const { return problems_.empty(); }
  std::size_t size() const { return problems_.size(); }
  std::size_t reports() const { return reports_; }  // calls of add, dropped ones included
  std::string text() const;                         // one problem a line, ordered by position
  void throw_if_any() const;                        // ConfigError with text()

 private:
  struct Problem {
    Position at;
    std::string path, message;
  };
  std::vector<Problem> problems_;
  std::set<std::string> seen_;
  std::size_t reports_ = 0;
};

// Closed or open ends of a numeric domain.
struct Range {
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  bool low_open = false, high_open = false;
  bool contains(double x) const;
  std::string text() const;  // "> 0", ">= 1", "in [0, 1]"
};
inline Range gt(double x) { return {.low = x, .low_open = true}; }
inline Range ge(double x) { return {.low = x}; }
inline Range between(double low, double high) { return {.low = low, .high = high}; }  // closed
inline Range any() { return {}; }

// What a Reader was asked for: `expunge list` prints these.
struct OptionDoc {
  std::string key, type, domain, help;
  nlohmann::json fallback;
};

class Reader {
 public:
  // `path` names the section in messages ("method.scrub"). `layers`, earliest first, must outlive the reader.
  Reader(std::string path, std::vector<const Node*> layers, Diagnostics& problems);
  // Reads back a resolved section (a flat JSON object); used by the engine, which never sees TOML.
  static Reader resolved(std::string path, const nlohmann::json& section, Diagnostics& problems);

  double number(const std::string& key, double fallback, Range range, const std::string& help);
  std::int64_t integer(const std::string& key, std::int64_t fallback, Range range, const std::string& help);
  bool flag(const std::string& key, bool fallback, const std::string& help);
  std::string text(const std::string& key, const std::string& fallback, const std::string& help);
  std::string choice(const std::string& key, const std::string& fallback,
                     const std::vector<std::string>& options, const std::string& help);
  std::vector<std::string> texts(const std::string& key, const std::vector<std::string>& fallback,
                                 const std::string& help);
  std::vector<double> numbers(const std::string& key, const std::vector<double>& fallback, Range range,
                              const std::string& help);
  // An inline table such as `optimizer = { name = "adamw", lr = 1e-3 }`; its resolved values nest under
  // `key`. Layers that lack the key are skipped; a plain string is taken as { name = "..." }. `short_forms`:
  // keys of this section that stand for the same key of the table (`lr` for `optimizer.lr`); inside one layer
  // the table wins.
  Reader table(const std::string& key, const std::vector<std::string>& short_forms = {});

  // The winning value as written, null when absent: for values of more than one type. The caller checks and
  // resolves it.
  const Node* raw(const std::string& key);

  bool has(const std::string& key) const;           // written by the user in some layer
  Position position(const std::string& key) const;  // of the winning layer, or of the section
  void problem(const std::string& key, const std::string& message);  // `path.key: message` at its position
  // Call last: every key of every layer that was not read (and is not in `also_known`) is a problem with a
  // suggestion.
  void finish(const std::vector<std::string>& also_known = {});

  const nlohmann::json& resolved_values() const { return state_->resolved; }
  const std::vector<OptionDoc>& docs() const { return state_->docs; }
  Diagnostics& problems() { return *problems_; }

 private:
  struct State {
    nlohmann::json resolved = nlohmann::json::object();
    std::vector<OptionDoc> docs;
    std::set<std::string> known;               // keys that were asked for
    std::vector<std::unique_ptr<Node>> owned;  // nodes made for resolved() and table()
    std::shared_ptr<State> parent;  // of a table's reader: its values and docs are the parent's, too
    std::string key;                // in the parent
  };
  const Node* find(const std::string& key) const;
  const Node* typed(const std::string& key, const char* type, bool (*matches)(const nlohmann::json&));
  void record(const OptionDoc& doc, nlohmann::json value);
  std::string path_of(const std::string& key) const;
  template <class T>
  T ranged(const std::string& key, T value, const Node* node, T fallback, const Range& range);

  std::string path_;
  std::vector<const Node*> layers_;
  Diagnostics* problems_;
  std::shared_ptr<State> state_;
};

}  // namespace expunge::config
