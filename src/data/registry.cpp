#include <algorithm>
#include <deque>

#include "core/error.hpp"
#include "data/dataset.hpp"

namespace expunge::data {
namespace {

struct Registry {
  std::deque<Reader> owned;
  std::vector<const Reader*> sorted;
};

Registry& registry() {
  static Registry instance;
  return instance;
}

}  // namespace

const std::vector<const Reader*>& readers() { return registry().sorted; }

const Reader* find_reader(const std::string& name) {
  for (const Reader* reader : readers())
    if (reader->info.name == name) return reader;
  return nullptr;
}

std::vector<std::string> reader_names() {
  std::vector<std::string> names;
  for (const Reader* reader : readers()) names.push_back(reader->info.name);
  return names;
}

RegisterReader::RegisterReader(Reader reader) {
  EXPUNGE_CHECK(find_reader(reader.info.name) == nullptr, "reader {} is registered twice", reader.info.name);
  auto& [owned, sorted] = registry();
  owned.push_back(std::move(reader));
  const Reader* added = &owned.back();
  const auto by_name = [](const Reader* a, const Reader* b) { return a->info.name < b->info.name; };
  sorted.insert(std::upper_bound(sorted.begin(), sorted.end(), added, by_name), added);
}

}  // namespace expunge::data
