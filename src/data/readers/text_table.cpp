// Texts of one's own: {train,test}.{csv,tsv,jsonl}, a sample a row (data/labelled_texts.hpp). Classes are the
// labels of training: their numbers where all are numbers, else their names in alphabetical order.
#include "core/error.hpp"
#include "core/files.hpp"
#include "data/text_samples.hpp"

namespace expunge::data {
namespace text_table {

fs::path file_of(const fs::path& root, Side side) {
  const std::string stem = side == Side::kTrain ? "train" : "test";
  std::error_code error;
  for (const char* kind : {".csv", ".tsv", ".jsonl"})
    if (const auto file = root / (stem + kind); fs::exists(file, error)) return file;
  return {};
}

bool present(const fs::path& root) {
  return !file_of(root, Side::kTrain).empty() && !file_of(root, Side::kTest).empty();
}

std::vector<fs::path> sources(const fs::path& root) {
  return {file_of(root, Side::kTrain), file_of(root, Side::kTest)};
}

TextColumns columns_of(const Info& info) { return {info.text_column, info.second_column, info.label_column}; }

void measure(const fs::path& root, Info& info) {
  std::vector<std::string> classes;
  info.train_size = std::ssize(read_text_table(file_of(root, Side::kTrain), classes, columns_of(info)));
  info.test_size = std::ssize(read_text_table(file_of(root, Side::kTest), classes, columns_of(info)));
  info.classes = std::ssize(classes);
}

Raw read(const fs::path& root, Side side, Info& info) {
  std::vector<std::string> classes;
  auto texts = read_text_table(file_of(root, Side::kTrain), classes, columns_of(info));
  if (side == Side::kTest) texts = read_text_table(file_of(root, side), classes, columns_of(info));
  info.classes = std::ssize(classes);
  if (info.classes < 2)
    throw DataError::corrupt(
        fmt::format("{}: all samples have the class \"{}\"", file_of(root, side).string(), classes.front()));
  return text_samples(texts, info);
}

const RegisterReader entry{{.info = text_info({.name = "text_table",
                                               .title = "Tables of texts",
                                               .source = "your own files",
                                               .licence = "your own",
                                               .files = "{train,test}.{csv,tsv,jsonl} with text and label"}),
                            .folders = {},
                            .present = present,
                            .sources = sources,
                            .measure = measure,
                            .read = read}};

}  // namespace text_table
}  // namespace expunge::data
