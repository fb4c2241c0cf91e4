// Tables of texts of one's own: comma- and tab-separated values, JSON lines.
#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"
#include "data/labelled_texts.hpp"
#include "data/tokenizers/unicode.hpp"

namespace expunge::data {
namespace {

using Row = std::vector<std::string>;

// Records of separated values (RFC 4180), with the line where each begins.
std::vector<std::pair<std::int64_t, Row>> parse_records(const std::string& text, char separator,
                                                        const std::string& place) {
  std::vector<std::pair<std::int64_t, Row>> out;
  std::int64_t line = 1, begin = 1;
  Row row;
  std::string field;
  bool quoted = false, was_quoted = false;
  const auto end_field = [&] {
    row.push_back(std::move(field));
    field.clear();
    was_quoted = false;
  };
  const auto end_row = [&] {
    const bool empty = row.empty() && field.empty() && !was_quoted;
    end_field();
    if (!empty) out.emplace_back(begin, std::move(row));
    row.clear();
    begin = line + 1;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '"' && i + 1 < text.size() && text[i + 1] == '"')
        field += text[++i];
      else if (c == '"')
        quoted = false;
      else
        field += c;
    } else if (c == '"' && field.empty() && !was_quoted) {
      quoted = was_quoted = true;
    } else if (c == separator) {
      end_field();
    } else if (c == '\n') {
      end_row();
    } else if (c != '\r') {
      field += c;
    }
    line += c == '\n';
  }
  if (quoted) throw DataError::corrupt(fmt::format("{}:{}: a quoted field does not end", place, begin));
  end_row();
  return out;
}

// Whether a column is the one that `asked` names, or has one of the usual names where none is asked for.
bool is(const std::string& column, const std::string& asked, std::initializer_list<const char*> usual) {
  return asked.empty() ? std::find(usual.begin(), usual.end(), column) != usual.end() : column == asked;
}

// One row as named fields.
struct Record {
  std::string place, text{}, second{}, label{};
  bool has_text = false, has_second = false, has_label = false;
  Row heading{};  // what there is, for messages

  void set(const TextColumns& columns, const std::string& column, std::string value) {
    heading.push_back(column);
    if (is(column, columns.text, {"text", "sentence", "sentence1"})) {
      text = std::move(value);
      has_text = true;
    } else if (is(column, columns.second, {"text2", "sentence2"})) {
      second = std::move(value);
      has_second = true;
    } else if (is(column, columns.label, {"label"})) {
      label = std::move(value);
      has_label = true;
    }
  }

  void check(const TextColumns& columns) const {
    const auto lacks = [&](const std::string& asked, const char* usual) {
      throw DataError::corrupt(
          fmt::format("{}: no \"{}\"; there is {}; [dataset.NAME] text_column, "
                      "second_column and label_column name others",
                      place, asked.empty() ? usual : asked, join(heading, ", ")));
    };
    if (!has_text) lacks(columns.text, "text");
    if (!has_second && !columns.second.empty()) lacks(columns.second, "");
    if (!has_label) lacks(columns.label, "label");
    if (label.empty()) throw DataError::corrupt(fmt::format("{}: the label is empty", place));
    std::string storage;
    for (const std::string* field : {&text, &second, &label})
      if (unicode::well_formed(*field, storage).data() != field->data())
        throw DataError::corrupt(fmt::format("{}: not UTF-8: save the file in this encoding", place));
  }
};

// Without a byte order mark.
std::string text_of(const fs::path& file) {
  auto text = read_file(file);
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  return text;
}

std::vector<Record> records_of_table(const fs::path& file, char separator, const TextColumns& columns) {
  auto rows = parse_records(text_of(file), separator, file.string());
  std::vector<Record> out;
  if (rows.empty()) return out;
  const Row heading = rows.front().second;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    auto& [line, row] = rows[i];
    Record record{.place = fmt::format("{}:{}", file.string(), line)};
    if (row.size() != heading.size())
      throw DataError::corrupt(
          fmt::format("{}: {} columns, the heading has {}", record.place, row.size(), heading.size()));
    for (std::size_t c = 0; c < row.size(); ++c) record.set(columns, heading[c], std::move(row[c]));
    out.push_back(std::move(record));
  }
  return out;
}

std::vector<Record> records_of_json_lines(const fs::path& file, const TextColumns& columns) {
  std::vector<Record> out;
  std::int64_t number = 0;
  for (const auto& line : split(text_of(file), '\n')) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    Record record{.place = fmt::format("{}:{}", file.string(), number)};
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object())
      throw DataError::corrupt(fmt::format("{}: expected an object a line", record.place));
    for (const auto& [key, value] : json.items())
      if (value.is_string() || value.is_number_integer() || value.is_boolean())
        record.set(columns, key, value.is_string() ? value.get<std::string>() : value.dump());
    out.push_back(std::move(record));
  }
  return out;
}

bool is_class_number(const std::string& text) {
  return !text.empty() && text.size() <= 9 &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= '0' && c <= '9'; });
}

bool same_but_case(const std::string& a, const std::string& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

// As it is written, else the only one that differs in case alone (spreadsheets write TRUE for True).
std::vector<std::string>::const_iterator find_class(const std::vector<std::string>& classes,
                                                    const std::string& label) {
  const auto exact = std::find(classes.begin(), classes.end(), label);
  if (exact != classes.end()) return exact;
  const auto near = [&](const std::string& name) { return same_but_case(name, label); };
  return std::count_if(classes.begin(), classes.end(), near) == 1
             ? std::find_if(classes.begin(), classes.end(), near)
             : classes.end();
}

}  // namespace

std::vector<LabelledText> read_text_table(const fs::path& file, std::vector<std::string>& classes,
                                          const TextColumns& columns) {
  const auto extension = file.extension();
  const auto records = extension == ".jsonl" || extension == ".json"
                           ? records_of_json_lines(file, columns)
                           : records_of_table(file, extension == ".tsv" ? '\t' : ',', columns);
  if (records.empty()) throw DataError::corrupt(fmt::format("{}: no samples", file.string()));
  for (const auto& record : records) record.check(columns);
  const bool numbers =
      std::all_of(records.begin(), records.end(), [](const Record& r) { return is_class_number(r.label); });
  const bool given = !classes.empty();
  if (!given) {
    for (const auto& record : records) classes.push_back(record.label);
    std::sort(classes.begin(), classes.end(), [&](const std::string& a, const std::string& b) {
      return numbers ? std::stol(a) < std::stol(b) : a < b;
    });
    classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
    if (numbers) {  // 0, 1, ..., the largest
      const auto largest = std::stol(classes.back());
      if (largest > 100000)
        throw DataError::corrupt(fmt::format("{}: class {} is too large", file.string(), largest));
      classes.clear();
      for (long c = 0; c <= largest; ++c) classes.push_back(std::to_string(c));
    }
  }
  std::vector<LabelledText> out;
  for (const auto& record : records) {
    const auto found = find_class(classes, record.label);
    if (found == classes.end())
      throw DataError::corrupt(fmt::format("{}: unknown class \"{}\"{}", record.place, record.label,
                                           did_you_mean(record.label, classes)));
    out.push_back({record.text, record.second, found - classes.begin()});
  }
  return out;
}

}  // namespace expunge::data
