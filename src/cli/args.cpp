#include "cli/args.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "core/error.hpp"
#include "core/text.hpp"

namespace expunge::cli {

Args::Args(std::string command, std::string summary, std::vector<std::string> words)
    : command_(std::move(command)), summary_(std::move(summary)), words_(std::move(words)) {
  const auto dashes = std::find(words_.begin(), words_.end(), "--");
  if (dashes != words_.end()) {
    after_dashes_.assign(dashes + 1, words_.end());
    words_.erase(dashes, words_.end());
  }
  const auto is_help = [](const std::string& word) { return word == "--help" || word == "-h"; };
  const auto end = std::remove_if(words_.begin(), words_.end(), is_help);
  help_ = end != words_.end();
  words_.erase(end, words_.end());
}

void Args::mistake(const std::string& message) {
  if (mistake_.empty()) mistake_ = message;
}

// All values of an option, removed from the words.
std::vector<std::string> Args::take(const std::string& name) {
  std::vector<std::string> out, rest;
  for (std::size_t i = 0; i < words_.size(); ++i) {
    if (words_[i] == name) {
      if (i + 1 < words_.size())
        out.push_back(words_[++i]);
      else
        mistake(fmt::format("{} needs a value", name));
    } else if (words_[i].rfind(name + "=", 0) == 0) {
      out.push_back(words_[i].substr(name.size() + 1));
    } else {
      rest.push_back(words_[i]);
    }
  }
  words_ = std::move(rest);
  return out;
}

bool Args::flag(const std::string& name, const std::string& help) {
  options_.push_back({name, "", "", help});
  const auto end = std::remove(words_.begin(), words_.end(), name);
  const bool given = end != words_.end();
  words_.erase(end, words_.end());
  return given;
}

std::string Args::option(const std::string& name, const std::string& value, const std::string& fallback,
                         const std::string& help) {
  options_.push_back({name, value, fallback, help});
  const auto given = take(name);
  return given.empty() ? fallback : given.back();
}

std::vector<std::string> Args::repeated(const std::string& name, const std::string& value,
                                        const std::string& help) {
  options_.push_back({name, value, "", help + " (may be repeated)"});
  return take(name);
}

std::int64_t Args::integer(const std::string& name, const std::string& value, std::int64_t fallback,
                           std::int64_t least, const std::string& help) {
  const auto text = option(name, value, fmt::format("{}", fallback), help);
  std::int64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error == std::errc() && end == text.data() + text.size() && (out >= least || out == fallback))
    return out;
  mistake(fmt::format("{} {}: expected an integer >= {}", name, text, least));
  return fallback;
}

double Args::number(const std::string& name, const std::string& value, double fallback,
                    const std::string& help) {
  const auto text = option(name, value, fmt::format("{}", fallback), help);
  char* end = nullptr;
  const double out = std::strtod(text.c_str(), &end);
  if (!text.empty() && *end == '\0' && out > 0 && out < 1e300) return out;
  mistake(fmt::format("{} {}: expected a number > 0", name, text));
  return fallback;
}

std::vector<std::string> Args::positionals(const std::string& value, std::size_t least, std::size_t most,
                                           const std::string& help) {
  positionals_.push_back({value, most == kMany ? "..." : "", least == 0 ? "optional" : "", help});
  std::vector<std::string> out, options;
  for (const auto& word : words_) (word.size() > 1 && word[0] == '-' ? options : out).push_back(word);
  words_ = std::move(options);
  out.insert(out.end(), after_dashes_.begin(), after_dashes_.end());
  after_dashes_.clear();
  if (out.size() > most) {
    words_.insert(words_.end(), out.begin() + static_cast<std::ptrdiff_t>(most), out.end());
    out.resize(most);
  }
  // An unknown option explains a missing word better: finish() tells it first.
  if (out.size() < least && words_.empty()) mistake(fmt::format("{} is missing", value));
  out.resize(std::max(out.size(), least));
  return out;
}

std::string Args::help() const {
  std::string out = fmt::format("expunge {}: {}\n\nusage: expunge {}", command_, summary_, command_);
  for (const auto& p : positionals_)
    out +=
        p.fallback.empty() ? fmt::format(" {}{}", p.name, p.value) : fmt::format(" [{}{}]", p.name, p.value);
  if (!options_.empty()) out += " [options]";
  out += "\n";
  std::size_t width = 6;
  for (const auto* docs : {&positionals_, &options_})
    for (const auto& d : *docs) width = std::max(width, d.name.size() + 1 + d.value.size());
  for (const auto& p : positionals_) out += fmt::format("\n  {:<{}}  {}", p.name, width, p.help);
  for (const auto& o : options_) {
    const bool shows_default = !o.value.empty() && !o.fallback.empty();
    out += fmt::format("\n  {:<{}}  {}{}", o.name + (o.value.empty() ? "" : " " + o.value), width, o.help,
                       shows_default ? fmt::format(" (default {})", o.fallback) : "");
  }
  return out + "\n";
}

void Args::finish() {
  if (help_) {
    fmt::print("{}", help());
    throw HelpShown{};
  }
  words_.insert(words_.end(), after_dashes_.begin(), after_dashes_.end());
  if (!words_.empty()) {
    const auto& word = words_.front();
    if (word[0] != '-') throw UsageError(fmt::format("{}: unexpected \"{}\"", command_, word));
    std::vector<std::string> names;
    for (const auto& o : options_) names.push_back(o.name);
    const auto name = word.substr(0, word.find('='));
    const bool takes_none = std::find(names.begin(), names.end(), name) != names.end();
    throw UsageError(takes_none
                         ? fmt::format("{}: {} takes no value", command_, name)
                         : fmt::format("{}: unknown option {}{}", command_, name, did_you_mean(name, names)));
  }
  if (!mistake_.empty())
    throw UsageError(fmt::format("{}: {}; see expunge {} --help", command_, mistake_, command_));
}

}  // namespace expunge::cli
