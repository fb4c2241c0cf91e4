#include "store/summary.hpp"

#include <array>

namespace expunge::store {
namespace {

constexpr std::string_view kMark = "expsum 1";
constexpr std::size_t kTrailer = sizeof(std::uint64_t) + kMark.size();

constexpr std::array kTexts = {&RowHeader::kind,
                               &RowHeader::id,
                               &RowHeader::key,
                               &RowHeader::dataset,
                               &RowHeader::model,
                               &RowHeader::method,
                               &RowHeader::sweep,
                               &RowHeader::status,
                               &RowHeader::status_text,
                               &RowHeader::science_sha256,
                               &RowHeader::parameter_hash,
                               &RowHeader::config_sha256,
                               &RowHeader::row_schema_sha256,
                               &RowHeader::git_hash,
                               &RowHeader::host,
                               &RowHeader::config_json};

}  // namespace

void pack(Writer& to, const RowHeader& h) {
  for (const auto text : kTexts) to.text(h.*text);
  to.number(h.ratio);
  to.number(h.seed);
  to.number(h.restart_count);
  to.number(h.row.size());
  for (const double v : h.row) to.number(v);
  to.number(h.timing.size());
  for (const auto& [name, seconds] : h.timing) {
    to.text(name);
    to.number(seconds);
  }
}

RowHeader unpack_header(Bytes& from) {
  RowHeader h;
  for (const auto text : kTexts) h.*text = from.text();
  h.ratio = from.number<double>();
  h.seed = from.number<std::int64_t>();
  h.restart_count = from.number<std::int64_t>();
  const auto columns = from.number<std::size_t>();
  // Asked for before memory is: a length that is no length must not become an allocation.
  Bytes values(from.take(columns < SIZE_MAX / sizeof(double) ? columns * sizeof(double) : SIZE_MAX));
  h.row.resize(columns);
  for (double& v : h.row) v = values.number<double>();
  for (auto n = from.number<std::size_t>(); n > 0; --n) {
    const std::string name(from.text());
    h.timing[name] = from.number<double>();
  }
  return h;
}

std::string summary_bytes(const RowHeader& header) {
  Writer out;
  pack(out, header);
  const auto length = static_cast<std::uint64_t>(out.bytes().size());
  out.number(length);
  out.raw(kMark);
  return out.bytes();
}

std::size_t summary_size(std::string_view file) {
  if (file.size() < kTrailer || file.substr(file.size() - kMark.size()) != kMark) return 0;
  Bytes trailer(file.substr(file.size() - kTrailer));
  const auto length = trailer.number<std::uint64_t>();
  return length <= file.size() - kTrailer ? static_cast<std::size_t>(length) + kTrailer : 0;
}

std::optional<RowHeader> summary_of(std::string_view file) {
  const std::size_t size = summary_size(file);
  if (size == 0) return std::nullopt;
  Bytes from(file.substr(file.size() - size, size - kTrailer));
  try {
    return unpack_header(from);
  } catch (const InternalError&) {
    return std::nullopt;
  }
}

}  // namespace expunge::store
