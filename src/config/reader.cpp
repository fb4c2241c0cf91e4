#include "config/reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "core/error.hpp"
#include "core/text.hpp"

namespace expunge::config {
namespace {

using nlohmann::json;

std::string dotted(const std::string& path, const std::string& key) {
  return path.empty() ? key : key.empty() ? path : path + "." + key;
}

bool is_number(const json& v) { return v.is_number(); }
bool is_integer(const json& v) { return v.is_number_integer(); }
bool is_flag(const json& v) { return v.is_boolean(); }
bool is_text(const json& v) { return v.is_string(); }

// A scalar stands for a list of one.
bool is_texts(const json& v) {
  return v.is_string() ||
         (v.is_array() && std::all_of(v.begin(), v.end(), [](const json& e) { return e.is_string(); }));
}
bool is_numbers(const json& v) {
  return v.is_number() ||
         (v.is_array() && std::all_of(v.begin(), v.end(), [](const json& e) { return e.is_number(); }));
}
json as_list(const json& v) { return v.is_array() ? v : json::array({v}); }

// JSON cannot hold nan and inf: the parser of job files keeps them as such doubles.
std::string shown(const Node& node) {
  if (node.is_table) return "a table";
  if (node.value.is_number_float() && !std::isfinite(node.value.get<double>()))
    return fmt::format("{}", node.value.get<double>());
  return node.value.dump();
}

}  // namespace

std::string Position::text() const { return line > 0 ? fmt::format("{}:{}:{}", file, line, column) : file; }

Node node_from_json(const json& object) {
  Node node;
  node.is_table = object.is_object();
  if (!node.is_table) {
    node.value = object;
    return node;
  }
  for (const auto& [key, value] : object.items()) node.children.emplace(key, node_from_json(value));
  return node;
}

void Diagnostics::add(const Position& at, const std::string& path, const std::string& message) {
  ++reports_;
  if (!seen_.insert(at.text() + '\n' + path + '\n' + message.substr(0, message.find(';'))).second) return;
  problems_.push_back({at, path, message});
}

std::string Diagnostics::text() const {
  auto sorted = problems_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.at.file, a.at.line, a.at.column) < std::tie(b.at.file, b.at.line, b.at.column);
  });
  std::vector<std::string> lines;
  for (const auto& p : sorted) {
    std::vector<std::string> parts;
    for (const auto& part : {p.at.text(), p.path, p.message})
      if (!part.empty()) parts.push_back(part);
    lines.push_back(join(parts, ": "));
  }
  return join(lines, "\n");
}

void Diagnostics::throw_if_any() const {
  if (!empty()) throw ConfigError(text());
}

bool Range::contains(double x) const {
  return (low_open ? x > low : x >= low) && (high_open ? x < high : x <= high);  // false for nan
}

std::string Range::text() const {
  const bool has_low = std::isfinite(low), has_high = std::isfinite(high);
  if (has_low && has_high)
    return fmt::format("in {}{}, {}{}", low_open ? '(' : '[', low, high, high_open ? ')' : ']');
  if (has_low) return fmt::format("{} {}", low_open ? ">" : ">=", low);
  if (has_high) return fmt::format("{} {}", high_open ? "<" : "<=", high);
  return "";
}

Reader::Reader(std::string path, std::vector<const Node*> layers, Diagnostics& problems)
    : path_(std::move(path)), problems_(&problems), state_(std::make_shared<State>()) {
  for (const Node* layer : layers) {
    if (!layer) continue;
    if (layer->is_table)
      layers_.push_back(layer);
    else
      problems.add(layer->at, layer->path.empty() ? path_ : layer->path,
                   fmt::format("expected a table, got {}", shown(*layer)));
  }
}

Reader Reader::resolved(std::string path, const json& section, Diagnostics& problems) {
  EXPUNGE_CHECK(section.is_object(), "resolved section {} is no object", path);
  auto node = std::make_unique<Node>(node_from_json(section));
  Reader reader(std::move(path), {node.get()}, problems);
  reader.state_->owned.push_back(std::move(node));
  return reader;
}

const Node* Reader::find(const std::string& key) const {
  for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer)
    if (const auto found = (*layer)->children.find(key); found != (*layer)->children.end())
      return &found->second;
  return nullptr;
}

std::string Reader::path_of(const std::string& key) const {
  const Node* node = find(key);
  return node && !node->path.empty() ? node->path : dotted(path_, key);
}

bool Reader::has(const std::string& key) const { return find(key) != nullptr; }

Position Reader::position(const std::string& key) const {
  if (const Node* node = find(key)) return node->at;
  return layers_.empty() ? Position{} : layers_.back()->at;
}

void Reader::problem(const std::string& key, const std::string& message) {
  problems_->add(position(key), path_of(key), message);
}

void Reader::record(const OptionDoc& doc, json value) {
  state_->resolved[doc.key] = std::move(value);
  OptionDoc outer = doc;
  const State* inner = state_.get();
  state_->docs.push_back(doc);
  for (State* at = state_->parent.get(); at; inner = at, at = at->parent.get()) {
    at->resolved[inner->key] = inner->resolved;
    outer.key = dotted(inner->key, outer.key);
    at->docs.push_back(outer);
  }
}

// The winning value when it has the type; null when nobody wrote it or (a problem) it has another.
const Node* Reader::typed(const std::string& key, const char* type, bool (*matches)(const json&)) {
  state_->known.insert(key);
  const Node* node = find(key);
  if (!node || (!node->is_table && matches(node->value))) return node;
  problem(key, fmt::format("expected {}, got {}", type, shown(*node)));
  return nullptr;
}

template <class T>
T Reader::ranged(const std::string& key, T value, const Node* node, T fallback, const Range& range) {
  if (!node) return fallback;
  if (std::isfinite(static_cast<double>(value)) && range.contains(static_cast<double>(value))) return value;
  problem(key, fmt::format("must be {}, got {}", range.text().empty() ? "finite" : range.text(), value));
  return fallback;
}

double Reader::number(const std::string& key, double fallback, Range range, const std::string& help) {
  const Node* node = typed(key, "a number", is_number);
  const double value = ranged(key, node ? node->value.get<double>() : fallback, node, fallback, range);
  record({key, "number", range.text(), help, fallback}, value);
  return value;
}

std::int64_t Reader::integer(const std::string& key, std::int64_t fallback, Range range,
                             const std::string& help) {
  const Node* node = typed(key, "an integer", is_integer);
  const auto value = ranged(key, node ? node->value.get<std::int64_t>() : fallback, node, fallback, range);
  record({key, "integer", range.text(), help, fallback}, value);
  return value;
}

bool Reader::flag(const std::string& key, bool fallback, const std::string& help) {
  const Node* node = typed(key, "true or false", is_flag);
  const bool value = node ? node->value.get<bool>() : fallback;
  record({key, "flag", "true, false", help, fallback}, value);
  return value;
}

std::string Reader::text(const std::string& key, const std::string& fallback, const std::string& help) {
  const Node* node = typed(key, "a string", is_text);
  auto value = node ? node->value.get<std::string>() : fallback;
  record({key, "text", "", help, fallback}, value);
  return value;
}

std::string Reader::choice(const std::string& key, const std::string& fallback,
                           const std::vector<std::string>& options, const std::string& help) {
  const Node* node = typed(key, "a string", is_text);
  auto value = node ? node->value.get<std::string>() : fallback;
  if (node && std::find(options.begin(), options.end(), value) == options.end()) {
    problem(key, fmt::format("unknown \"{}\"{}", value, did_you_mean(value, options)));
    value = fallback;
  }
  record({key, "choice", join(options, ", "), help, fallback}, value);
  return value;
}

std::vector<std::string> Reader::texts(const std::string& key, const std::vector<std::string>& fallback,
                                       const std::string& help) {
  const Node* node = typed(key, "a list of strings", is_texts);
  auto value = node ? as_list(node->value).get<std::vector<std::string>>() : fallback;
  record({key, "texts", "", help, fallback}, value);
  return value;
}

std::vector<double> Reader::numbers(const std::string& key, const std::vector<double>& fallback, Range range,
                                    const std::string& help) {
  const Node* node = typed(key, "a list of numbers", is_numbers);
  auto value = node ? as_list(node->value).get<std::vector<double>>() : fallback;
  for (std::size_t i = 0; node && i < value.size(); ++i) {
    if (std::isfinite(value[i]) && range.contains(value[i])) continue;
    problems_->add(
        i < node->items.size() ? node->items[i] : node->at, path_of(key),
        fmt::format("must be {}, got {}", range.text().empty() ? "finite" : range.text(), value[i]));
    value = fallback;
    break;
  }
  record({key, "numbers", range.text(), help, fallback}, value);
  return value;
}

Reader Reader::table(const std::string& key, const std::vector<std::string>& short_forms) {
  state_->known.insert(key);
  state_->known.insert(short_forms.begin(), short_forms.end());
  auto child = std::make_shared<State>();
  std::vector<const Node*> layers;
  const auto own = [&](Node node) {
    child->owned.push_back(std::make_unique<Node>(std::move(node)));
    layers.push_back(child->owned.back().get());
  };
  for (const Node* layer : layers_) {
    Node shorts;
    shorts.is_table = true;
    shorts.at = layer->at;
    for (const auto& name : short_forms)
      if (const auto found = layer->children.find(name); found != layer->children.end())
        shorts.children.emplace(name, found->second);
    if (!shorts.children.empty()) own(std::move(shorts));
    const auto found = layer->children.find(key);
    if (found == layer->children.end()) continue;
    const Node& written = found->second;
    if (!written.is_table && written.value.is_string()) {
      Node named;
      named.is_table = true;
      named.at = written.at;
      named.path = written.path;
      named.children.emplace("name", written);
      own(std::move(named));
    } else {
      layers.push_back(&written);
    }
  }
  Reader reader(dotted(path_, key), layers, *problems_);
  reader.state_ = child;
  child->parent = state_;
  child->key = key;
  return reader;
}

const Node* Reader::raw(const std::string& key) {
  state_->known.insert(key);
  return find(key);
}

void Reader::finish(const std::vector<std::string>& also_known) {
  std::vector<std::string> candidates(state_->known.begin(), state_->known.end());
  candidates.insert(candidates.end(), also_known.begin(), also_known.end());
  for (const Node* layer : layers_)
    for (const auto& [key, node] : layer->children) {
      if (std::find(candidates.begin(), candidates.end(), key) != candidates.end()) continue;
      problems_->add(node.at, node.path.empty() ? dotted(path_, key) : node.path,
                     "unknown key" + did_you_mean(key, candidates));
    }
}

}  // namespace expunge::config
