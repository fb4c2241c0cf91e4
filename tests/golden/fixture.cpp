#include "tests/golden/fixture.hpp"

#include <gtest/gtest.h>

#include <set>

#include "tests/unit/torch/folder.hpp"

namespace expunge::test {

std::shared_ptr<models::Model> Fixture::model() const {
  const auto model = models::build(config);
  const auto state = part("sd.");
  std::set<std::string> ours, theirs;
  for (const auto& p : model->named_parameters()) ours.insert(p.key());
  for (const auto& b : model->named_buffers()) ours.insert(b.key());
  for (const auto& [name, unused] : state) theirs.insert(name);
  EXPECT_EQ(ours, theirs);
  const Folder folder;
  tensor::write_safetensors(folder.path / "model.safetensors", state);
  models::load_tensors(*model, folder.path / "model.safetensors");
  return model;
}

}  // namespace expunge::test
