#include "store/record.hpp"

#include <cmath>
#include <cstring>

#include "core/hash.hpp"

namespace expunge::store {
namespace {

// Fields with their lengths in front, so that no two records give the same bytes.
class Fields {
 public:
  void text(const std::string& value) {
    number(static_cast<std::int64_t>(value.size()));
    hash_.add(value);
  }
  void number(std::int64_t value) { hash_.add(&value, sizeof value); }
  // The bits; every NaN counts as the same.
  void real(double value) {
    static_assert(sizeof(std::int64_t) == sizeof(double));
    std::int64_t bits = 0x7ff8000000000000;
    if (!std::isnan(value)) std::memcpy(&bits, &value, sizeof bits);
    number(bits);
  }
  std::string hex() { return hash_.hex(); }

 private:
  Sha256 hash_;
};

}  // namespace

std::string science_sha256(const Record& record) {
  Fields f;
  f.text("expunge science 1");
  f.text(record.id);
  f.text(record.status);
  f.number(static_cast<std::int64_t>(record.row_names.size()));
  for (const auto& name : record.row_names) f.text(name);
  f.number(static_cast<std::int64_t>(record.row.size()));
  for (double value : record.row) f.real(value);
  f.text(record.parameter_hash);
  f.number(static_cast<std::int64_t>(record.splits.size()));
  for (const auto& [name, sums] : record.splits) {
    f.text(name);
    f.number(sums.count);
    f.number(sums.correct);
    f.number(sums.classes);
    f.real(sums.loss_sum);
    f.number(static_cast<std::int64_t>(sums.confusion.size()));
    for (auto n : sums.confusion) f.number(n);
  }
  if (!record.requests.empty()) {
    f.text("requests");
    const std::size_t columns = record.request_columns.size();
    for (std::size_t i = 0; i < record.requests.size(); ++i) {
      const std::string& column = record.request_columns[i % columns];
      if (column == "seconds") continue;
      f.text(column);
      f.real(record.requests[i]);
    }
  }
  return f.hex();
}

}  // namespace expunge::store
