// A job file as written: tables with positions, and what `--set` lays over it. Which sections exist is
// decided by who reads them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/reader.hpp"

namespace expunge::config {

using Section = std::vector<std::string>;  // {"dataset", "cifar10", "train"}

struct Job {
  std::string file, text;
  Node root;       // of the file
  Node overrides;  // of --set, the same shape

  // For a Reader: these sections of the file, the later ones winning, then the same sections of --set, which
  // win over all of the file. Null where absent.
  std::vector<const Node*> layers(const std::vector<Section>& sections) const;
  // Names of the tables and values directly below a section, of the file and of --set, sorted, each once.
  std::vector<std::string> names(const Section& section) const;
  // Where a section or key was written; --set first. Null when nowhere.
  const Node* find(const Section& section) const;
};

// Parses a file. DataError 66 when it cannot be read; ConfigError with its position for a TOML syntax error;
// UsageError for an override that is not `section.key=value`. A value of --set is TOML; a bare word is a
// string.
Job read_job(const std::filesystem::path& file, const std::vector<std::string>& overrides = {});
// The same from text; `file` is for messages.
Job parse_job(const std::string& text, const std::string& file,
              const std::vector<std::string>& overrides = {});

}  // namespace expunge::config
