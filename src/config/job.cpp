#include "config/job.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <set>
#include <sstream>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"

namespace expunge::config {
namespace {

constexpr const char* kSet = "--set";

Position position_of(const toml::source_region& source, const std::string& file) {
  if (file == kSet)
    return {
        file,
        0,
        0,
    };
  return {file, static_cast<int>(source.begin.line), static_cast<int>(source.begin.column)};
}

template <class Date>
std::string date_text(const Date& value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

nlohmann::json to_json(const toml::node& node) {
  if (const auto* v = node.as_string()) return v->get();
  if (const auto* v = node.as_integer()) return v->get();
  if (const auto* v = node.as_floating_point()) return v->get();
  if (const auto* v = node.as_boolean()) return v->get();
  if (const auto* v = node.as_date()) return date_text(v->get());
  if (const auto* v = node.as_time()) return date_text(v->get());
  if (const auto* v = node.as_date_time()) return date_text(v->get());
  if (const auto* array = node.as_array()) {
    auto out = nlohmann::json::array();
    for (const auto& element : *array) out.push_back(to_json(element));
    return out;
  }
  auto out = nlohmann::json::object();
  for (const auto& [key, value] : *node.as_table()) out[std::string(key.str())] = to_json(value);
  return out;
}

Node to_node(const toml::node& from, const std::string& file, const std::string& path) {
  Node node;
  node.at = position_of(from.source(), file);
  node.path = path;
  node.is_table = from.is_table();
  if (const auto* table = from.as_table()) {
    for (const auto& [key, value] : *table) {
      const std::string name(key.str());
      node.children.emplace(name, to_node(value, file, path.empty() ? name : path + "." + name));
    }
    return node;
  }
  node.value = to_json(from);
  if (const auto* array = from.as_array())
    for (const auto& element : *array) node.items.push_back(position_of(element.source(), file));
  return node;
}

toml::table parse_text(const std::string& text, const std::string& file) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    throw ConfigError(fmt::format("{}: {}", position_of(error.source(), file).text(), error.description()));
  }
}

// The value of an override. TOML, or else a bare word.
Node override_value(const std::string& text, const std::string& path) {
  if (text.empty()) throw ConfigError(fmt::format("{} {}: no value", kSet, path));
  try {
    const auto table = toml::parse("value = " + text);
    if (table.size() == 1) return to_node(*table.get("value"), kSet, path);
  } catch (const toml::parse_error& error) {
    if (std::string_view("[{\"'").find(text.front()) != std::string_view::npos)
      throw ConfigError(fmt::format("{} {}: {}: {}", kSet, path, text, error.description()));
  }
  Node word;
  word.value = text;
  word.at = {kSet, 0, 0};
  word.path = path;
  return word;
}

void apply_override(Node& root, const std::string& text) {
  const auto equals = text.find('=');
  const auto parts = split(std::string_view(text).substr(0, equals), '.');
  bool complete = equals != std::string::npos && parts.size() >= 2;
  for (const auto& part : parts) complete &= !part.empty();
  if (!complete) throw UsageError(fmt::format("{} {}: expected section.key=value", kSet, text));
  Node* at = &root;
  std::string path;
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    path += (i ? "." : "") + parts[i];
    at = &at->children[parts[i]];
    if (at->is_table) continue;
    *at = Node{};
    at->is_table = true;
    at->at = {kSet, 0, 0};
    at->path = path;
  }
  path += "." + parts.back();
  at->children[parts.back()] = override_value(text.substr(equals + 1), path);
}

const Node* below(const Node& root, const Section& section) {
  const Node* at = &root;
  for (const auto& name : section) {
    const auto found = at->children.find(name);
    if (found == at->children.end()) return nullptr;
    at = &found->second;
  }
  return at;
}

}  // namespace

std::vector<const Node*> Job::layers(const std::vector<Section>& sections) const {
  std::vector<const Node*> out;
  for (const Node* from : {&root, &overrides})
    for (const auto& section : sections) out.push_back(below(*from, section));
  return out;
}

std::vector<std::string> Job::names(const Section& section) const {
  std::set<std::string> out;
  for (const Node* from : {&root, &overrides})
    if (const Node* at = below(*from, section))
      for (const auto& [name, node] : at->children) out.insert(name);
  return {out.begin(), out.end()};
}

const Node* Job::find(const Section& section) const {
  const Node* over = below(overrides, section);
  return over ? over : below(root, section);
}

Job parse_job(const std::string& text, const std::string& file, const std::vector<std::string>& overrides) {
  Job job;
  job.file = file;
  job.text = text;
  job.root = to_node(parse_text(text, file), file, "");
  job.overrides.is_table = true;
  job.overrides.at = {kSet, 0, 0};
  for (const auto& one : overrides) apply_override(job.overrides, one);
  return job;
}

Job read_job(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  return parse_job(read_file(file), file.string(), overrides);
}

}  // namespace expunge::config
