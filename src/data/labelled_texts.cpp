#include "data/labelled_texts.hpp"

#include <algorithm>
#include <charconv>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"
#include "data/tokenizers/unicode.hpp"

namespace expunge::data {
namespace {

constexpr const char* kClassFolders[] = {"neg", "pos"};

std::string strip_line(std::string line) {
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.pop_back();
  return line;
}

// Lines without the empty ones, with their numbers.
std::vector<std::pair<std::int64_t, std::string>> lines_of(const fs::path& file) {
  std::vector<std::pair<std::int64_t, std::string>> out;
  std::int64_t number = 0;
  for (auto& line : split(read_file(file), '\n')) {
    ++number;
    if (line = strip_line(std::move(line)); !line.empty()) out.emplace_back(number, std::move(line));
  }
  return out;
}

// ID of "ID_STARS.txt", or -1.
std::int64_t review_id(const fs::path& file) {
  const std::string name = file.filename().string();
  std::int64_t id = -1;
  std::from_chars(name.data(), name.data() + name.size(), id);
  return id;
}

std::vector<fs::path> reviews_of(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (at->path().extension() == ".txt") out.push_back(at->path());
  if (error) throw DataError::missing(fmt::format("{}: cannot list: {}", folder.string(), error.message()));
  if (out.empty()) throw DataError::corrupt(fmt::format("{}: no reviews (ID_STARS.txt)", folder.string()));
  std::sort(out.begin(), out.end(), [](const fs::path& a, const fs::path& b) {
    return std::pair{review_id(a), a.filename()} < std::pair{review_id(b), b.filename()};
  });
  return out;
}

// Latin-1 where a file is not UTF-8.
std::string to_utf8(const std::string& text) {
  std::string storage;
  if (unicode::well_formed(text, storage).data() == text.data()) return text;
  std::string out;
  for (const char c : text) unicode::append(out, static_cast<unsigned char>(c));
  return out;
}

std::int64_t class_of(const std::string& name, std::vector<std::string>& classes, bool closed,
                      const std::string& place) {
  const auto found = std::find(classes.begin(), classes.end(), name);
  if (found != classes.end()) return found - classes.begin();
  if (closed)
    throw DataError::corrupt(
        fmt::format("{}: unknown class \"{}\"{}", place, name, did_you_mean(name, classes)));
  classes.push_back(name);
  return static_cast<std::int64_t>(classes.size()) - 1;
}

}  // namespace

std::vector<fs::path> imdb_files(const fs::path& root, Side side) {
  std::vector<fs::path> out;
  for (const char* name : kClassFolders)
    for (auto& file : reviews_of(root / (side == Side::kTrain ? "train" : "test") / name))
      out.push_back(std::move(file));
  return out;
}

std::vector<LabelledText> read_imdb(const fs::path& root, Side side) {
  std::vector<LabelledText> out;
  for (const auto& file : imdb_files(root, side))
    out.push_back({to_utf8(read_file(file)), "", file.parent_path().filename() == "pos" ? 1 : 0});
  return out;
}

std::vector<LabelledText> read_rotten_tomatoes(const fs::path& root, Side side) {
  std::vector<LabelledText> out;
  for (std::int64_t label = 0; label < 2; ++label) {
    const auto lines = lines_of(root / fmt::format("rt-polarity.{}", kClassFolders[label]));
    const auto train = static_cast<std::size_t>(static_cast<double>(lines.size()) * 0.9 + 0.5);
    for (std::size_t i = 0; i < lines.size(); ++i)
      if ((i >= train) == (side == Side::kTest)) out.push_back({to_utf8(lines[i].second), "", label});
  }
  return out;
}

std::vector<DdiPair> read_ddi_table(const fs::path& tsv) {
  std::vector<DdiPair> out;
  auto classes = ddi_classes();
  for (const auto& [number, line] : lines_of(tsv)) {
    const auto fields = split(line, '\t');
    const auto place = fmt::format("{}:{}", tsv.string(), number);
    if (fields.size() != 3)
      throw DataError::corrupt(
          fmt::format("{}: {} columns, expected pair id, sentence and class", place, fields.size()));
    out.push_back({fields[0], to_utf8(fields[1]), class_of(fields[2], classes, true, place)});
  }
  return out;
}

std::vector<fs::path> ddi_files(const fs::path& root, Side side) {
  std::vector<fs::path> out;
  if (fs::exists(root / "train.tsv") && fs::exists(root / "test.tsv"))
    return {root / (side == Side::kTrain ? "train.tsv" : "test.tsv")};
  const auto folder = root / (side == Side::kTrain ? "Train" : "Test");
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (at->path().extension() == ".xml" && at->path().string().find("DrugNER") == std::string::npos)
      out.push_back(at->path());
  if (error) throw DataError::missing(fmt::format("{}: cannot list: {}", folder.string(), error.message()));
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<LabelledText> read_ddi(const fs::path& root, Side side) {
  std::vector<LabelledText> out;
  for (const auto& file : ddi_files(root, side)) {
    const auto pairs =
        file.extension() == ".tsv" ? read_ddi_table(file) : parse_ddi_xml(read_file(file), file.string());
    for (const auto& pair : pairs) out.push_back({pair.text, "", pair.label});
  }
  return out;
}

}  // namespace expunge::data
