// The program: global options, dispatch to subcommands, exceptions to exit codes.
#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <new>

#include "cli/commands.hpp"
#include "core/build_info.hpp"
#include "core/error.hpp"
#include "core/log.hpp"
#include "core/reason.hpp"
#include "core/text.hpp"

namespace expunge::cli {
namespace {

bool json_messages = false;

std::string overview() {
  std::string out = fmt::format(
      "{}: machine unlearning as sweeps of reproducible jobs\n\nusage: expunge COMMAND [arguments]\n",
      build_info::one_line());
  for (const auto& command : commands()) out += fmt::format("\n  {:<9} {}", command.name, command.summary);
  return out +
         "\n\n  expunge COMMAND --help       options of a command\n  expunge --version\n"
         "  --log-format text|json       how messages on standard error look\n  --quiet                      "
         "no progress messages\n";
}

// Global options may stand anywhere; they are taken out of the words.
std::vector<std::string> take_global_options(int argc, char** argv) {
  std::vector<std::string> words;
  std::string format = "text";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--quiet") {
      log::set_quiet(true);
    } else if (word == "--log-format" && i + 1 < argc) {
      format = argv[++i];
    } else if (word.rfind("--log-format=", 0) == 0) {
      format = word.substr(std::strlen("--log-format="));
    } else {
      words.push_back(word);
    }
  }
  if (format != "text" && format != "json")
    throw UsageError(fmt::format("--log-format {}: expected text or json", format));
  json_messages = format == "json";
  log::set_format(json_messages ? log::Format::kJson : log::Format::kText);
  return words;
}

int dispatch(std::vector<std::string> words) {
  const std::string name = words.empty() ? "" : words.front();
  if (name == "--version") {
    fmt::print("{}\n", build_info::one_line());
    return kExitOk;
  }
  if (name == "--help" || name == "-h" || (name == "help" && words.size() == 1)) {
    fmt::print("{}", overview());
    return kExitOk;
  }
  if (name.empty()) {
    fmt::print(stderr, "{}", overview());
    return kExitUsage;
  }
  if (name == "help") {
    words = {words[1], "--help"};
    return dispatch(words);
  }
  const Command* command = find_command(name);
  if (!command) {
    std::vector<std::string> names;
    for (const auto& c : commands()) names.push_back(c.name);
    throw UsageError(fmt::format("unknown command \"{}\"{}", name, did_you_mean(name, names)));
  }
  words.erase(words.begin());
  Args args(command->name, command->summary, std::move(words));
  return command->run(args);
}

// A message that holds several problems has one on each line.
int fail(int exit_code, const std::string& message) {
  leave_reason(message);
  for (const auto& line : split(message, '\n'))
    json_messages ? log::write("error", line, true) : log::write("info", "expunge: " + line, true);
  return exit_code;
}

int guarded_main(int argc, char** argv) {
  try {
    return dispatch(take_global_options(argc, argv));
  } catch (const HelpShown&) {
    return kExitOk;
  } catch (const Error& error) {
    return fail(error.exit_code(), error.what());
  } catch (const std::bad_alloc&) {
    return fail(kExitInternal, "out of memory");
  } catch (const std::exception& error) {
    return fail(kExitInternal, fmt::format("internal error: {}", error.what()));
  }
}

}  // namespace
}  // namespace expunge::cli

int main(int argc, char** argv) {
  using namespace expunge;
  const int code = cli::guarded_main(argc, argv);
  // Results that did not arrive are no results.
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    return code == kExitOk ? cli::fail(kExitCannotWrite, "cannot write to standard output") : code;
  return code;
}
