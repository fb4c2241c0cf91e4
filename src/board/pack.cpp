#include "board/pack.hpp"

#include <vector>

namespace expunge::board {
namespace {

std::vector<std::string*> texts_of(Found& f) {
  auto& h = f.header;
  return {&f.file,
          &f.state,
          &f.reason,
          &h.kind,
          &h.id,
          &h.key,
          &h.dataset,
          &h.model,
          &h.method,
          &h.sweep,
          &h.status,
          &h.status_text,
          &h.science_sha256,
          &h.parameter_hash,
          &h.config_sha256,
          &h.row_schema_sha256,
          &h.git_hash,
          &h.host,
          &h.config_json};
}

}  // namespace

void pack(Writer& to, Found& f) {
  for (auto* text : texts_of(f)) to.text(*text);
  to.number(f.header.ratio);
  to.number(f.header.seed);
  to.number(f.header.restart_count);
  to.number(f.header.row.size());
  for (double v : f.header.row) to.number(v);
  to.number(f.header.timing.size());
  for (const auto& [name, seconds] : f.header.timing) {
    to.text(name);
    to.number(seconds);
  }
}

Found unpack(Bytes& from) {
  Found f;
  for (auto* text : texts_of(f)) *text = from.text();
  f.header.ratio = from.number<double>();
  f.header.seed = from.number<std::int64_t>();
  f.header.restart_count = from.number<std::int64_t>();
  f.header.row.resize(from.number<std::size_t>());
  for (double& v : f.header.row) v = from.number<double>();
  for (auto n = from.number<std::size_t>(); n > 0; --n) {
    const std::string name(from.text());
    f.header.timing[name] = from.number<double>();
  }
  return f;
}

}  // namespace expunge::board
