#include "store/record_parts.hpp"

#include <fmt/format.h>

namespace expunge::store {

void write_named(hid_t file, const std::string& name, const std::map<std::string, double>& values) {
  std::vector<std::string> names;
  std::vector<double> numbers;
  for (const auto& [key, value] : values) {
    names.push_back(key);
    numbers.push_back(value);
  }
  h5::write<double>(file, name, numbers, {numbers.size()});
  const h5::Handle dataset = h5::open_dataset(file, name);
  h5::set_attribute(dataset, "names", names);
}

std::map<std::string, double> read_named(hid_t file, const std::string& name) {
  const h5::Handle dataset = h5::open_dataset(file, name);
  const auto numbers = h5::values_of<double>(dataset, name);
  const auto names = h5::texts_attribute(dataset, "names");
  if (names.size() != numbers.size())
    throw h5::Failure(fmt::format("{}: {} names for {} values", name, names.size(), numbers.size()));
  std::map<std::string, double> out;
  for (std::size_t i = 0; i < names.size(); ++i) out[names[i]] = numbers[i];
  return out;
}

void write_splits(hid_t file, const Record& record) {
  const h5::Handle group = h5::create_group(file, "metrics");
  for (const auto& [name, sums] : record.splits) {
    const h5::Handle split = h5::create_group(group, h5::link_name(name));
    h5::write<std::int64_t>(split, "count", {{sums.count}}, {});
    h5::write<std::int64_t>(split, "correct", {{sums.correct}}, {});
    h5::write<std::int64_t>(split, "classes", {{sums.classes}}, {});
    h5::write<double>(split, "loss_sum", {{sums.loss_sum}}, {});
    if (sums.confusion.empty()) continue;
    const auto side = static_cast<hsize_t>(sums.classes);
    h5::write<std::int64_t>(split, "confusion", sums.confusion, {side, side});
  }
}

std::map<std::string, SplitSums> read_splits(hid_t file) {
  std::map<std::string, SplitSums> out;
  const h5::Handle group = h5::open_group(file, "metrics");
  const auto integer = [](hid_t split, const char* name) {
    const auto values = h5::read<std::int64_t>(split, name);
    if (values.size() != 1) throw h5::Failure(fmt::format("metrics/{} is not one number", name));
    return values[0];
  };
  for (const auto& name : h5::children(group)) {
    const h5::Handle split = h5::open_group(group, name);
    SplitSums sums;
    sums.count = integer(split, "count");
    sums.correct = integer(split, "correct");
    sums.classes = integer(split, "classes");
    sums.loss_sum = h5::read<double>(split, "loss_sum").at(0);
    if (h5::has(split, "confusion")) sums.confusion = h5::read<std::int64_t>(split, "confusion");
    out[h5::text_of_link(name)] = std::move(sums);
  }
  return out;
}

void write_outputs(hid_t file, const Record& record) {
  if (record.outputs.empty()) return;
  const h5::Handle group = h5::create_group(file, "logits");
  for (const auto& [name, o] : record.outputs) {
    const std::string link = h5::link_name(name);
    h5::write<float>(group, link, o.logits, {o.ids.size(), static_cast<hsize_t>(o.classes)},
                     {.chunk_rows = 1024, .deflate = 1});
    h5::write<std::int64_t>(group, link + "_index", o.ids, {o.ids.size()});
    h5::write<std::int64_t>(group, link + "_label", o.labels, {o.labels.size()});
    if (o.answers) h5::write<std::int64_t>(group, link + "_answers", std::vector<std::int64_t>{1}, {1});
  }
}

std::map<std::string, SplitOutputs> read_outputs(hid_t file) {
  std::map<std::string, SplitOutputs> out;
  if (!h5::has(file, "logits")) return out;
  const h5::Handle group = h5::open_group(file, "logits");
  for (const auto& link : h5::children(group)) {
    if (!h5::has(group, link + "_index")) continue;  // an index or label dataset itself
    SplitOutputs o;
    o.logits = h5::read<float>(group, link);
    o.ids = h5::read<std::int64_t>(group, link + "_index");
    o.labels = h5::read<std::int64_t>(group, link + "_label");
    o.classes = static_cast<std::int64_t>(h5::shape(group, link).at(1));
    o.answers = h5::has(group, link + "_answers");
    out[h5::text_of_link(link)] = std::move(o);
  }
  return out;
}

void write_table(hid_t file, const char* name, const std::vector<std::string>& columns,
                 const std::vector<double>& values) {
  const std::size_t rows = columns.empty() ? 0 : values.size() / columns.size();
  h5::write<double>(file, name, values, {rows, columns.size()},
                    {.chunk_rows = 1024, .deflate = 4, .checksum = true});
  const h5::Handle dataset = h5::open_dataset(file, name);
  h5::set_attribute(dataset, "columns", columns);
}

void read_table(hid_t file, const char* name, std::vector<std::string>& columns,
                std::vector<double>& values) {
  values = h5::read<double>(file, name);
  const h5::Handle dataset = h5::open_dataset(file, name);
  columns = h5::texts_attribute(dataset, "columns");
}

void write_segments(hid_t file, const Record& record) {
  std::vector<std::int64_t> numbers;
  std::vector<std::string> hosts, starts;
  for (const auto& s : record.segments) {
    numbers.insert(numbers.end(), {s.world_size, s.first_step, s.last_step});
    hosts.push_back(s.host);
    starts.push_back(s.started_utc);
  }
  h5::write<std::int64_t>(file, "segments", numbers, {record.segments.size(), 3});
  const h5::Handle dataset = h5::open_dataset(file, "segments");
  h5::set_attribute(dataset, "host", hosts);
  h5::set_attribute(dataset, "started_utc", starts);
}

std::vector<Segment> read_segments(hid_t file) {
  const auto numbers = h5::read<std::int64_t>(file, "segments");
  const h5::Handle dataset = h5::open_dataset(file, "segments");
  const auto hosts = h5::texts_attribute(dataset, "host"),
             starts = h5::texts_attribute(dataset, "started_utc");
  if (numbers.size() != 3 * hosts.size() || hosts.size() != starts.size())
    throw h5::Failure("segments: sizes do not agree");
  std::vector<Segment> out;
  for (std::size_t i = 0; i < hosts.size(); ++i)
    out.push_back({numbers[3 * i], numbers[3 * i + 1], numbers[3 * i + 2], hosts[i], starts[i]});
  return out;
}

}  // namespace expunge::store
