// expunge show: what is in a store, a board or a checkpoint.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "board/board.hpp"
#include "cli/commands.hpp"
#include "cli/table.hpp"
#include "core/counted.hpp"
#include "core/error.hpp"
#include "core/text.hpp"
#include "store/checkpoint_file.hpp"
#include "store/store_file.hpp"

namespace expunge::cli {
namespace show_command {

using nlohmann::json;

// NaN has no JSON; it means "not defined" here.
json number(double value) { return std::isfinite(value) ? json(value) : json(); }

json numbers(const std::map<std::string, double>& values) {
  json out = json::object();
  for (const auto& [name, value] : values) out[name] = number(value);
  return out;
}

// The columns of a table by name.
json series_of(const std::vector<std::string>& columns, const std::vector<double>& values) {
  json out = json::object();
  for (std::size_t c = 0; c < columns.size(); ++c) {
    json series = json::array();
    for (std::size_t i = c; i < values.size(); i += columns.size()) series.push_back(number(values[i]));
    out[columns[c]] = series;
  }
  return out;
}

json store_json(const std::filesystem::path& path, const json& attributes) {
  const auto r = store::read_record(path);
  json row = json::object(), splits = json::object(), segments = json::array(), outputs = json::object();
  for (std::size_t i = 0; i < r.row.size(); ++i) row[r.row_names[i]] = number(r.row[i]);
  for (const auto& [name, s] : r.splits)
    splits[name] = {{"count", s.count},
                    {"correct", s.correct},
                    {"classes", s.classes},
                    {"loss_sum", number(s.loss_sum)},
                    {"confusion", s.confusion}};
  for (const auto& s : r.segments)
    segments.push_back({{"world_size", s.world_size},
                        {"first_step", s.first_step},
                        {"last_step", s.last_step},
                        {"host", s.host},
                        {"started_utc", s.started_utc}});
  for (const auto& [name, o] : r.outputs) outputs[name] = o.ids.size();
  json out = {{"kind", r.kind},
              {"id", r.id},
              {"key", r.key},
              {"status", r.status},
              {"status_text", r.status_text},
              {"parameter_hash", r.parameter_hash},
              {"science_sha256", attributes.at("science_sha256")},
              {"row", row},
              {"splits", splits},
              {"flops", numbers(r.flops)},
              {"timing", numbers(r.timing)},
              {"rank_seconds", r.rank_seconds},
              {"segments", segments},
              {"history", series_of(r.history_columns, r.history)},
              {"requests", series_of(r.request_columns, r.requests)},
              {"request_columns", r.request_columns},
              {"outputs", outputs},
              {"config", r.config},
              {"attributes", attributes}};
  return out;
}

json board_json(const std::filesystem::path& path, const json& attributes) {
  const auto b = board::read_board(path);
  json cells = json::array();
  for (const auto& r : b.rows) {
    json row = json::object();
    for (std::size_t c = 0; c < r.values.size(); ++c) row[b.row_names[c]] = number(r.values[c]);
    cells.push_back({{"id", r.cell.id},
                     {"key", r.cell.key},
                     {"status", r.status},
                     {"reason", r.reason},
                     {"row", row},
                     {"parameter_hash", r.parameter_hash},
                     {"science_sha256", r.science_sha256}});
  }
  return {{"kind", "board"},
          {"sweep", b.sweep},
          {"science_sha256", board::science_sha256(b)},
          {"cells", cells},
          {"attributes", attributes}};
}

template <class T>
void add_sizes(json& into, const std::map<std::string, std::vector<T>>& arrays) {
  for (const auto& [name, values] : arrays) into[name] = values.size();
}

json checkpoint_json(const std::filesystem::path& path, const json& attributes) {
  const auto c = store::read_checkpoint(path);
  json arrays = json::object();
  add_sizes(arrays, c.f32);
  add_sizes(arrays, c.f64);
  add_sizes(arrays, c.i64);
  return {{"kind", "checkpoint"}, {"id", c.cell_id},  {"sequence", c.sequence},
          {"state", c.state},     {"arrays", arrays}, {"attributes", attributes}};
}

std::string scalar_text(const json& value) {
  if (value.is_null()) return "-";
  return value.is_string()         ? value.get<std::string>()
         : value.is_number_float() ? fmt::format("{:.6g}", value.get<double>())
                                   : value.dump();
}

// `title` and below it one line a member.
void print_members(const std::string& title, const json& object) {
  if (object.empty()) return;
  std::size_t width = 0;
  for (const auto& [name, value] : object.items()) width = std::max(width, name.size());
  fmt::print("\n{}\n", title);
  for (const auto& [name, value] : object.items())
    fmt::print("  {:<{}}  {}\n", name, width, scalar_text(value));
}

// One line a deletion request.
void print_requests(const json& s) {
  const auto columns = s.at("request_columns").get<std::vector<std::string>>();
  if (columns.empty()) return;
  std::vector<std::vector<std::string>> rows{columns};
  for (std::size_t i = 0; i < s.at("requests").at(columns[0]).size(); ++i) {
    rows.emplace_back();
    for (const auto& column : columns) rows.back().push_back(scalar_text(s.at("requests").at(column)[i]));
  }
  fmt::print("\nrequests\n{}", text_table(rows, "  "));
}

void print_store(const json& s) {
  fmt::print(
      "{} {}\n{}\nstatus      {}{}\nparameters  {}\nresults     {}\n", s.at("kind").get<std::string>(),
      s.at("id").get<std::string>(), s.at("key").get<std::string>(), s.at("status").get<std::string>(),
      s.at("status_text").get<std::string>().empty() ? "" : ": " + s.at("status_text").get<std::string>(),
      s.at("parameter_hash").get<std::string>(), s.at("science_sha256").get<std::string>());
  print_members("row", s.at("row"));
  json splits = json::object();
  for (const auto& [name, split] : s.at("splits").items())
    splits[name] = fmt::format("{} of {} correct", split.at("correct").get<std::int64_t>(),
                               split.at("count").get<std::int64_t>());
  print_members("splits", splits);
  print_requests(s);
  print_members("flops", s.at("flops"));
  print_members("seconds", s.at("timing"));
  json segments = json::object();
  for (const auto& g : s.at("segments"))
    segments[g.at("started_utc").get<std::string>()] =
        fmt::format("steps {} to {} on {}, {}", g.at("first_step").get<std::int64_t>(),
                    g.at("last_step").get<std::int64_t>(),
                    counted(g.at("world_size").get<std::int64_t>(), "rank"), g.at("host").get<std::string>());
  print_members("segments", segments);
}

void print_text(const json& shown) {
  const std::string kind = shown.at("kind");
  if (kind == "run" || kind == "original") {
    print_store(shown);
  } else if (kind == "board") {
    fmt::print("board of {}: {} cells\nresults  {}\n\n", shown.at("sweep").get<std::string>(),
               shown.at("cells").size(), shown.at("science_sha256").get<std::string>());
    for (const auto& c : shown.at("cells"))
      fmt::print("{}  {:<8}  {}{}\n", c.at("id").get<std::string>(), c.at("status").get<std::string>(),
                 c.at("key").get<std::string>(),
                 c.at("reason").get<std::string>().empty() ? "" : ": " + c.at("reason").get<std::string>());
  } else {
    fmt::print("checkpoint {} of {}\n", shown.at("sequence").get<std::int64_t>(),
               shown.at("id").get<std::string>());
    print_members("arrays", shown.at("arrays"));
    json state = json::object();
    for (const auto& [name, value] : shown.at("state").items())
      if (value.is_primitive()) state[name] = value;
    print_members("state", state);
  }
  print_members("provenance", shown.at("attributes"));
}

int run(Args& args) {
  const bool as_json = args.flag("--json", "print everything as JSON");
  const auto words = args.positionals("FILE.h5", 1, 1, "a store, board or checkpoint");
  args.finish();
  const std::filesystem::path path = words[0];
  const json attributes = store::read_attributes(path);
  const std::string kind = attributes.value("kind", "");
  const json shown = kind == "board"        ? board_json(path, attributes)
                     : kind == "checkpoint" ? checkpoint_json(path, attributes)
                                            : store_json(path, attributes);
  if (as_json)
    fmt::print("{}\n", shown.dump(1, ' ', false, json::error_handler_t::replace));
  else
    print_text(shown);
  return kExitOk;
}

const RegisterCommand entry{"show", "what is in a store, a board or a checkpoint", run};

}  // namespace show_command
}  // namespace expunge::cli
