#include "board/board.hpp"

#include <algorithm>
#include <utility>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "store/sealed_file.hpp"
#include "store/store_file.hpp"

namespace expunge::board {
namespace {

namespace h5 = store::h5;

constexpr h5::Layout kColumn = {.chunk_rows = 4096, .deflate = 1};

struct TextColumn {
  const char* name;
  std::string& (*of)(Row&);
  bool optional = false;  // boards of older programs lack it
};

const TextColumn kTextColumns[] = {
    {"id", [](Row& r) -> std::string& { return r.cell.id; }},
    {"key", [](Row& r) -> std::string& { return r.cell.key; }},
    {"dataset", [](Row& r) -> std::string& { return r.cell.dataset; }},
    {"model", [](Row& r) -> std::string& { return r.cell.model; }},
    {"method", [](Row& r) -> std::string& { return r.cell.method; }},
    {"original_id", [](Row& r) -> std::string& { return r.cell.original_id; }},
    {"status", [](Row& r) -> std::string& { return r.status; }},
    {"reason", [](Row& r) -> std::string& { return r.reason; }},
    {"parameter_hash", [](Row& r) -> std::string& { return r.parameter_hash; }},
    {"science_sha256", [](Row& r) -> std::string& { return r.science_sha256; }},
    {"config_sha256", [](Row& r) -> std::string& { return r.config_sha256; }},
    {"git_hash", [](Row& r) -> std::string& { return r.git_hash; }, true},
    {"host", [](Row& r) -> std::string& { return r.host; }, true},
};

template <class T, class Get>
std::vector<T> collect(const Board& board, Get&& get) {
  std::vector<T> out;
  if (!board.rows.empty()) out.reserve(board.rows.size() * get(board.rows.front()).size());
  for (const auto& row : board.rows) {
    const auto& part = get(row);
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

void write_cells(const h5::Handle& file, const Board& board) {
  const h5::Handle cells = h5::create_group(file, "cells");
  for (const auto& column : kTextColumns) {
    std::vector<std::string> texts;
    texts.reserve(board.rows.size());
    for (const auto& row : board.rows) texts.push_back(column.of(const_cast<Row&>(row)));
    h5::write_texts(cells, column.name, texts, kColumn);
  }
  std::vector<double> ratios;
  std::vector<std::int64_t> seeds, ends;
  std::size_t bytes_of_configs = 0;
  for (const auto& row : board.rows) {
    ratios.push_back(row.cell.ratio);
    seeds.push_back(row.cell.seed);
    bytes_of_configs += row.config_json.size();
    ends.push_back(static_cast<std::int64_t>(bytes_of_configs));
  }
  h5::write<double>(cells, "ratio", ratios, {ratios.size()}, kColumn);
  h5::write<std::int64_t>(cells, "seed", seeds, {seeds.size()}, kColumn);
  h5::write<std::int64_t>(file, "config_end", ends, {ends.size()}, kColumn);
  auto row = board.rows.begin();
  h5::write_pieces(file, "config", bytes_of_configs, {.chunk_rows = 1 << 18, .deflate = 1},
                   [&] { return (row++)->config_json.text(); });
}

void fill(const h5::Handle& file, const Board& board) {
  const auto number = [&](const char* name, std::size_t value) {
    h5::set_attribute(file, name, static_cast<std::int64_t>(value));
  };
  h5::set_attribute(file, "sweep", board.sweep);
  h5::set_attribute(file, "sweep_sha256", board.sweep_sha256);
  h5::set_attribute(file, "science_sha256", science_sha256(board));
  h5::set_attribute(file, "row_schema_sha256", store::row_schema_sha256(board.row_names));
  number("cells", board.rows.size());
  number("merged", board.merged());
  for (const char* status : {"failed", "corrupt", "foreign", "missing"}) number(status, board.count(status));
  if (!board.recomputed.empty()) h5::set_attribute(file, "recomputed", board.recomputed);
  store::write_build(file);
  const std::size_t rows = board.rows.size();
  h5::write<double>(file, "rows",
                    collect<double>(
                        board, [](const Row& r) -> auto& { return r.values; }),
                    {rows, board.row_names.size()}, {.chunk_rows = 1024, .deflate = 1, .checksum = true});
  h5::write_texts(file, "row_names", board.row_names);
  h5::write<double>(file, "timing",
                    collect<double>(
                        board, [](const Row& r) -> auto& { return r.timing; }),
                    {rows, board.timing_names.size()}, {.chunk_rows = 1024, .deflate = 1});
  h5::write_texts(file, "timing_names", board.timing_names);
  write_cells(file, board);
}

// The part of a table that belongs to row i.
template <class T>
std::vector<T> slice(const std::vector<T>& table, std::size_t i, std::size_t width) {
  const auto begin = table.begin() + static_cast<std::ptrdiff_t>(i * width);
  return {begin, begin + static_cast<std::ptrdiff_t>(width)};
}

void read_cells(const h5::Handle& file, Board& board) {
  const h5::Handle cells = h5::open_group(file, "cells");
  const auto ratios = h5::read<double>(cells, "ratio");
  const auto seeds = h5::read<std::int64_t>(cells, "seed"), ends = h5::read<std::int64_t>(file, "config_end");
  const std::size_t rows = ratios.size();
  if (seeds.size() != rows || ends.size() != rows) throw h5::Failure("columns differ in length");
  board.rows.resize(rows);
  for (const auto& column : kTextColumns) {
    if (column.optional && !h5::has(cells, column.name)) continue;
    auto texts = h5::read_texts(cells, column.name);
    if (texts.size() != rows) throw h5::Failure("columns differ in length");
    for (std::size_t i = 0; i < rows; ++i) column.of(board.rows[i]) = std::move(texts[i]);
  }
  for (std::size_t i = 0; i < rows; ++i) {
    board.rows[i].cell.ratio = ratios[i];
    board.rows[i].cell.seed = seeds[i];
  }
  SettingsPool pool;
  std::string text;  // of the row that a piece has reached
  std::size_t i = 0, at = 0;
  h5::read_pieces(file, "config", [&](std::string_view piece) {
    while (i < rows) {
      const auto end = static_cast<std::size_t>(ends[i]);
      if (end < at) throw h5::Failure("config_end does not fit config");
      const auto part = piece.substr(0, end - at);
      text += part;
      at += part.size();
      piece.remove_prefix(part.size());
      if (at < end) return;
      board.rows[i++].config_json = pool.add(std::exchange(text, {}));
    }
  });
  for (; i < rows; ++i)  // the last ones may have none
    if (static_cast<std::size_t>(ends[i]) != at) throw h5::Failure("config_end does not fit config");
}

}  // namespace

std::size_t Board::count(const std::string& status) const {
  return static_cast<std::size_t>(
      std::count_if(rows.begin(), rows.end(), [&](const Row& r) { return r.status == status; }));
}

std::size_t Board::merged() const {
  return static_cast<std::size_t>(
      std::count_if(rows.begin(), rows.end(), [](const Row& r) { return r.merged(); }));
}

std::string science_sha256(const Board& board) {
  Sha256 hash;
  hash.add("expunge board 1\n");
  for (const auto& name : board.row_names) hash.add(name).add("\n");
  for (const auto& name : board.recomputed) hash.add("recomputed ").add(name).add("\n");
  for (const auto& row : board.rows)
    hash.add(fmt::format("{} {} {}\n", row.cell.id, row.status, row.science_sha256));
  return hash.hex();
}

void write_board(const std::filesystem::path& path, const Board& board) {
  for (const auto& row : board.rows)
    EXPUNGE_CHECK(
        row.values.size() == board.row_names.size() && row.timing.size() == board.timing_names.size(),
        "row {} has {} values for {} columns", row.cell.key, row.values.size(), board.row_names.size());
  store::write_sealed(path, "board", store::Publish::kReplace, board.rows.size() * 1024,
                      [&](const h5::Handle& file) { fill(file, board); });
}

Board read_board(const std::filesystem::path& path) {
  const h5::Handle file = store::open_sealed(path);
  Board board;
  store::reading(path, [&] {
    const auto kind = h5::text_attribute(file, "kind");
    if (kind != "board")
      throw DataError::corrupt(
          fmt::format("{}: is a {}, not a board; make one with: expunge reduce DIR", path.string(), kind));
    board.sweep = h5::text_attribute(file, "sweep");
    board.sweep_sha256 = h5::text_attribute(file, "sweep_sha256");
    if (h5::has_attribute(file, "recomputed")) board.recomputed = h5::texts_attribute(file, "recomputed");
    board.row_names = h5::read_texts(file, "row_names");
    board.timing_names = h5::read_texts(file, "timing_names");
    read_cells(file, board);
    const auto values = h5::read<double>(file, "rows"), timing = h5::read<double>(file, "timing");
    if (values.size() != board.rows.size() * board.row_names.size() ||
        timing.size() != board.rows.size() * board.timing_names.size())
      throw h5::Failure("the tables do not fit the columns");
    for (std::size_t i = 0; i < board.rows.size(); ++i) {
      board.rows[i].values = slice(values, i, board.row_names.size());
      board.rows[i].timing = slice(timing, i, board.timing_names.size());
    }
  });
  return board;
}

}  // namespace expunge::board
