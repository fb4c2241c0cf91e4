// The batch script of a chunk, from the site's template.
#pragma once

#include <filesystem>
#include <string>

#include "cluster/site.hpp"
#include "cluster/submission.hpp"

namespace expunge::cluster {

// What the scripts of a submission have in common.
struct ScriptContext {
  const Site& site;
  const sweep::Plan& plan;
  const sweep::Layout& layout;
  std::filesystem::path out, working_folder, program;  // absolute
};

// The script: directives, environment and command in place of the template's @WORDS@. DataError 66 when the
// template cannot be read, ConfigError when it lacks @DIRECTIVES@ or @COMMAND@, or holds a word that is not
// known.
std::string render_script(const ScriptContext& context, const Submission& submission, const Chunk& chunk);

// Where the template is: the site's own, else the shipped one.
std::filesystem::path template_path(const Site& site);

}  // namespace expunge::cluster
