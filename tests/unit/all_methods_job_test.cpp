// jobs/all_methods.toml is complete: every registered method stands in exactly the blocks (data set and
// model) that `check` accepts it for, and in one at least. A new method that is missing there fails here.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/error.hpp"
#include "methods/method.hpp"
#include "sweep/sweep.hpp"

namespace expunge::sweep {
namespace {

const std::filesystem::path kJob = EXPUNGE_SOURCE_DIR "/jobs/all_methods.toml";

bool accepted(const std::string& dataset, const std::string& model, const std::string& method) {
  try {
    load(kJob, {"sweep.include=[]", "sweep.dataset=[\"" + dataset + "\"]", "sweep.model=[\"" + model + "\"]",
                "sweep.method=[\"" + method + "\"]"});
    return true;
  } catch (const ConfigError&) {
    return false;
  }
}

TEST(AllMethodsJob, HasEveryMethodWhereItIsDefined) {
  std::map<std::pair<std::string, std::string>, std::set<std::string>> blocks;
  std::set<std::string> somewhere;
  for (const auto& cell : load(kJob, {}).cells) {
    blocks[{cell.dataset, cell.model}].insert(cell.method);
    somewhere.insert(cell.method);
  }
  EXPECT_GE(blocks.size(), 3u);
  for (const auto& name : methods::descriptor_names()) {
    if (name.rfind("broken_", 0) == 0) continue;
    EXPECT_TRUE(somewhere.count(name)) << name << " stands in no block of " << kJob;
    for (const auto& [block, methods] : blocks)
      EXPECT_EQ(methods.count(name) > 0, accepted(block.first, block.second, name))
          << name << " on " << block.first << " with " << block.second;
  }
}

}  // namespace
}  // namespace expunge::sweep
