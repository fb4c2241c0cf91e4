// expunge data list|fetch|check: what data sets are there, getting them, and reading every sample.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "cli/commands.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/log.hpp"
#include "core/text.hpp"
#include "data/dataset.hpp"

namespace expunge::cli {
namespace data_command {

using nlohmann::json;

json manifest() { return json::parse(read_file(data::project_folder() / "manifest.json")); }

// Runs a program in `folder` with its output on our standard error. The exit status; 127 when it cannot
// start.
int run_program(const std::vector<std::string>& words, const fs::path& folder) {
  log::info("{}", join(words, " "));
  std::vector<char*> argv;
  for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return 127;
  if (child == 0) {
    if (::chdir(folder.c_str()) != 0 || ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0) ::_exit(127);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

int list(bool as_json) {
  json out = json::array();
  for (const data::Reader* reader : data::readers()) {
    if (reader->folders.empty()) continue;  // generic readers have no data set of their own
    const std::string& name = reader->info.name;
    std::string where;
    const bool there = data::available(name, {}, where);
    const data::Info info = there ? data::describe(name) : reader->info;
    out.push_back(
        {{"name", name},
         {"title", info.title},
         {"train", info.train_size},
         {"test", info.test_size},
         {"classes", info.classes},
         {"available", there},
         {"folder", there ? where : ""},
         {"licence", info.licence},
         {"subset", info.train_size != reader->info.train_size || info.test_size != reader->info.test_size}});
  }
  if (as_json) {
    fmt::print("{}\n", out.dump(2));
    return kExitOk;
  }
  fmt::print("{:<15} {:>7} {:>7} {:>8}  {}\n", "name", "train", "test", "classes", "where");
  for (const auto& row : out)
    fmt::print("{:<15} {:>7} {:>7} {:>8}  {}{}\n", row["name"].get<std::string>(),
               row["train"].get<std::int64_t>(), row["test"].get<std::int64_t>(),
               row["classes"].get<std::int64_t>(),
               row["available"].get<bool>() ? row["folder"].get<std::string>() : "not here",
               row["subset"].get<bool>() ? " (subset)" : "");
  return kExitOk;
}

// Downloads and unpacks the distribution's package without root, into the fetch folder.
bool fetch_without_root(const json& entry) {
  const fs::path target = data::fetch_folder() / entry.at("folder").get<std::string>();
  make_folder(target.parent_path());
  std::string name = (target.parent_path() / "fetching-XXXXXX").string();
  if (!::mkdtemp(name.data()))
    throw DataError::cannot_write(fmt::format("{}: cannot create folder: {}", name, std::strerror(errno)));
  const fs::path work = name;
  bool done = false;
  std::error_code error;
  if (run_program({"apt-get", "-q", "download", entry.at("debian_package")}, work) == 0) {
    std::string package;
    for (const auto& file : fs::directory_iterator(work)) package = file.path().filename().string();
    if (run_program({"dpkg", "-x", package, "unpacked"}, work) == 0) {
      fs::rename(work / "unpacked" / entry.at("package_folder").get<std::string>(), target, error);
      done = !error;
    }
  }
  fs::remove_all(work, error);
  return done;
}

// apt-get install, with fresh package lists where the ones at hand do not know the package.
bool install_package(const std::string& package) {
  const std::vector<std::string> install{
      "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=550", "install", "--no-install-recommends", package};
  return run_program(install, "/") == 0 ||
         (run_program({"apt-get", "-q", "update"}, "/") == 0 && run_program(install, "/") == 0);
}

// Installs the package with root, else unpacks it. True when the data set is found afterwards.
bool fetch_package(const std::string& name, const json& entry, std::string& where) {
  if (::geteuid() == 0 && install_package(entry.at("debian_package")) && data::available(name, {}, where))
    return true;
  return fetch_without_root(entry) && data::available(name, {}, where);
}

std::string by_hand(const std::string& name, const json& entry) {
  const data::Reader* reader = data::find_reader(name);
  return fmt::format(
      "get {} from\n  {}\n(licence: {}) and put {} into\n  {}\nor point EXPUNGE_DATA_ROOT at the folder "
      "above it",
      entry.at("title").get<std::string>(), entry.at("source").get<std::string>(),
      entry.at("licence").get<std::string>(), reader->info.files,
      (data::fetch_folder() / entry.at("folder").get<std::string>()).string());
}

int fetch(const std::string& name) {
  std::string where;
  if (data::available(name, {}, where)) {
    const data::Info info = data::describe(name);
    fmt::print("{} is there: {} ({} training and {} test samples)\n", name, where, info.train_size,
               info.test_size);
    return kExitOk;
  }
  const json all = manifest();
  if (!all.contains(name)) throw DataError::missing(where);
  const json& entry = all.at(name);
  if (!entry.contains("debian_package"))
    throw DataError::missing(fmt::format("{} cannot be fetched: {}", name, by_hand(name, entry)));
  if (!fetch_package(name, entry, where))
    throw DataError::missing(fmt::format("the package {} could not be fetched with apt-get: {}",
                                         entry.at("debian_package").get<std::string>(),
                                         by_hand(name, entry)));
  fmt::print("{} fetched: {}\n", name, where);
  return kExitOk;
}

std::string label_counts(const data::Dataset& dataset, data::Side side) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(dataset.info().classes));
  for (std::int64_t i = 0; i < dataset.size(side); ++i)
    ++counts[static_cast<std::size_t>(dataset.label(side, i))];
  const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
  return *least == *most ? fmt::format("{} a class", *least) : fmt::format("{} to {} a class", *least, *most);
}

int check(const std::string& name, const json& options) {
  const auto dataset = data::open(name, options);
  const data::Info& info = dataset->info();
  fmt::print("{}: {} classes, {}\n", name, info.classes,
             info.text_alone() ? fmt::format("texts of up to {} tokens", info.tokens)
                               : fmt::format("{}x{}x{}", info.channels, info.height, info.width));
  fmt::print("  train     {} samples, {}\n", info.train_size, label_counts(*dataset, data::Side::kTrain));
  fmt::print("  test      {} samples, {}\n", info.test_size, label_counts(*dataset, data::Side::kTest));
  fmt::print("  checksum  {}\n", dataset->checksum());
  const data::Reader* reader = data::find_reader(name);
  if (!reader) return kExitOk;
  if (info.train_size != reader->info.train_size || info.test_size != reader->info.test_size) {
    fmt::print("  a subset of the published {} + {} samples\n", reader->info.train_size,
               reader->info.test_size);
    return kExitOk;
  }
  const json all = manifest();
  const std::string published = all.contains(name) ? all.at(name).value("checksum", "") : "";
  if (published.empty()) return kExitOk;
  if (published != dataset->checksum()) {
    fmt::print("  differs from the published data set (checksum {})\n", published);
    return kExitNotAsAsked;
  }
  fmt::print("  equal to the published data set\n");
  return kExitOk;
}

int run(Args& args) {
  const bool as_json = args.flag("--json", "print the list as JSON");
  const auto path =
      args.option("--path", "DIR", "", "check: folder of the files, instead of the places searched");
  const auto reader = args.option("--reader", "NAME", "",
                                  "check: reader of a data set of your own (image_folder, text_table)");
  const auto words = args.positionals("list|fetch|check [NAME]", 1, 2, "what to do, and with which data set");
  args.finish();
  const std::string& action = words[0];
  if (action == "list" && words.size() == 1) return list(as_json);
  if (action != "fetch" && action != "check")
    throw UsageError(action == "list" ? "data list takes no name"
                                      : fmt::format("data: unknown action \"{}\"{}", action,
                                                    did_you_mean(action, {"list", "fetch", "check"})));
  if (words.size() != 2)
    throw UsageError(fmt::format("data {} needs the name of a data set (have: {})", action,
                                 join(data::reader_names(), ", ")));
  if (action == "fetch") return fetch(words[1]);
  json options = json::object();
  if (!path.empty()) options["path"] = path;
  if (!reader.empty()) options["reader"] = reader;
  return check(words[1], options);
}

const RegisterCommand entry{"data", "list, fetch or check data sets", run};

}  // namespace data_command
}  // namespace expunge::cli
