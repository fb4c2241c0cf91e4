// expunge study: a question of the papers, answered from boards and kept outputs.
#include <fmt/format.h>

#include <cstdlib>

#include "board/study/study.hpp"
#include "board/svg.hpp"
#include "cli/commands.hpp"
#include "cli/table.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"

namespace expunge::cli {
namespace study_command {

std::vector<std::string> names() {
  std::vector<std::string> out;
  for (const auto& study : board::studies()) out.push_back(study.name);
  return out;
}

void print_list() {
  std::vector<std::vector<std::string>> rows = {{"study", "what it shows", "source"}};
  for (const auto& study : board::studies()) rows.push_back({study.name, study.summary, study.source});
  fmt::print("{}", text_table(rows));
}

std::vector<double> numbers(const std::string& option, const std::string& text) {
  std::vector<double> out;
  for (const auto& part : split(text, ',')) {
    char* end = nullptr;
    const double v = std::strtod(part.c_str(), &end);
    if (part.empty() || *end != '\0' || !(v > 0) || !(v <= 1))
      throw UsageError(
          fmt::format("study: {} {}: expected numbers in (0, 1], separated by commas", option, text));
    out.push_back(v);
  }
  return out;
}

board::StudySource source_of(const std::string& word) {
  const fs::path path = word;
  const bool folder = fs::is_directory(path);
  return {folder ? path : path.parent_path(), board::read_board(folder ? path / "board.h5" : path)};
}

int run(Args& args) {
  board::StudyOptions options;
  const auto kappas = args.option("--kappa", "K,...", "0.05,0.2",
                                  "capacity: shares of the original's test accuracy that may be lost");
  options.column = args.option("--column", "NAME", "", "scaling, variance: the column to look at");
  options.by = args.option("--by", "PATH", "",
                           "variants: the setting that differs, e.g. method_options.alpha; or sweep");
  options.evaluation_seeds =
      args.integer("--evaluation-seeds", "N", 5, 1, "variance: evaluation seeds drawn from kept outputs");
  options.gap = args.number("--gap", "G", 0.01, "variance: the difference that seeds should show");
  const auto csv =
      args.option("--csv", "FILE", "", "write the tables as comma-separated values; - is standard output");
  const auto svg = args.option("--svg", "DIR", "", "write the plots as SVG files");
  const auto words = args.positionals("NAME BOARD.h5", 1, Args::kMany,
                                      "a study (list shows them), then boards or folders of sweeps");
  args.finish();
  if (words[0] == "list") {
    print_list();
    return kExitOk;
  }
  const auto* study = board::find_study(words[0]);
  if (!study)
    throw UsageError(fmt::format("study: no study \"{}\"{}", words[0], did_you_mean(words[0], names())));
  if (words.size() < 2)
    throw UsageError(fmt::format("study {}: a board or the folder of a sweep is missing", words[0]));
  options.kappas = numbers("--kappa", kappas);
  std::vector<board::StudySource> sources;
  for (std::size_t i = 1; i < words.size(); ++i) sources.push_back(source_of(words[i]));
  const auto report = study->run(sources, options);
  if (!csv.empty() && csv != "-") write_file_atomic(csv, board::study_csv(report));
  if (!svg.empty()) {
    make_folder(svg);
    for (const auto& plot : report.plots) {
      std::string name;
      for (const char c : plot.name)
        name += std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' ? c : '-';
      if (const auto picture = board::study_svg(plot); !picture.empty())
        write_file_atomic(fs::path(svg) / (name + ".svg"), board::standalone(picture));
    }
  }
  fmt::print("{}", csv == "-" ? board::study_csv(report) : board::study_text(report));
  return kExitOk;
}

const RegisterCommand entry{
    "study", "answer a question of the papers from boards: capacity, budget, scaling ...", run};

}  // namespace study_command
}  // namespace expunge::cli
