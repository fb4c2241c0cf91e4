// The options of one subcommand. They are declared by reading them; finish() then rejects what is left over
// and, for --help, prints what was declared:
//
//   int run(Args& args) {
//     const bool json = args.flag("--json", "print JSON");
//     const auto out = args.option("--out", "DIR", "results", "output folder");
//     const auto jobs = args.positionals("JOB.toml", 1, Args::kMany, "job files");
//     args.finish();
//     ...
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace expunge::cli {

// Thrown by finish() after it printed the help.
struct HelpShown {};

class Args {
 public:
  static constexpr std::size_t kMany = static_cast<std::size_t>(-1);

  Args(std::string command, std::string summary, std::vector<std::string> words);

  bool flag(const std::string& name, const std::string& help);
  // `--name VALUE` or `--name=VALUE`; the last one wins. `value` names it in the help.
  std::string option(const std::string& name, const std::string& value, const std::string& fallback,
                     const std::string& help);
  std::int64_t integer(const std::string& name, const std::string& value, std::int64_t fallback,
                       std::int64_t least, const std::string& help);
  double number(const std::string& name, const std::string& value, double fallback,
                const std::string& help);  // > 0
  std::vector<std::string> repeated(const std::string& name, const std::string& value,
                                    const std::string& help);
  // Whatever is no option. Call after all options: `--name VALUE` takes its value out of the words.
  std::vector<std::string> positionals(const std::string& value, std::size_t least, std::size_t most,
                                       const std::string& help);

  // UsageError with the first mistake. Call before any work.
  void finish();
  const std::string& command() const { return command_; }

 private:
  struct Doc {
    std::string name, value, fallback, help;
  };
  void mistake(const std::string& message);
  std::vector<std::string> take(const std::string& name);
  std::string help() const;

  std::string command_, summary_, mistake_;
  std::vector<std::string> words_, after_dashes_;  // after_dashes_: behind a bare `--`
  std::vector<Doc> options_, positionals_;
  bool help_ = false;
};

}  // namespace expunge::cli
