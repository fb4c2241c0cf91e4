// What a model of a user's own starts from, and what goes back to a folder.
#include "models/torch/start.hpp"

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "core/files.hpp"
#include "tensor/safetensors.hpp"
#include "tests/unit/torch/folder.hpp"
#include "tests/unit/torch/tiny_families.hpp"

namespace expunge::models {
namespace {

using test::family_name;
using test::tiny_families;
using test::tiny_texts;
using Named = std::map<std::string, torch::Tensor>;

Named tensors_of(const Model& model) {
  Named out;
  for (const auto& p : model.named_parameters()) out[p.key()] = p.value().detach().clone();
  for (const auto& b : model.named_buffers()) out[b.key()] = b.value().detach().clone();
  return out;
}

std::shared_ptr<Model> drawn(const nlohmann::json& config, std::uint64_t seed) {
  auto model = build(config);
  model->initialize(Rng(seed, "start"));
  return model;
}

Chosen chosen_of(const nlohmann::json& config, const std::filesystem::path& folder, bool new_head) {
  return {find_by_model_type(config.at("model_type")), config, folder, new_head};
}

class Start : public testing::TestWithParam<nlohmann::json> {};

// Backbones without prefix and head, as they are published; a new head keeps what was drawn for it.
TEST_P(Start, ANewHeadStandsOnThePublishedBackbone) {
  const auto& config = GetParam();
  const test::Folder folder;
  const auto published = drawn(config, 1);
  const auto theirs = tensors_of(*published);
  save(*published, folder.path);
  const auto model = drawn(config, 2);
  const auto before = tensors_of(*model);
  load_start(*model, chosen_of(config, folder.path, true));
  const auto& heads = find_by_model_type(config.at("model_type"))->head;
  std::size_t kept = 0;
  for (const auto& [name, value] : tensors_of(*model)) {
    const bool head = heads.empty() ? name.starts_with(model->head_prefix() + ".")
                                    : std::any_of(heads.begin(), heads.end(),
                                                  [&](const auto& h) { return name.starts_with(h); });
    EXPECT_TRUE(value.equal((head ? before : theirs).at(name))) << name;
    kept += head;
  }
  EXPECT_GE(kept, 2u);
}

INSTANTIATE_TEST_SUITE_P(Tiny, Start, testing::ValuesIn(tiny_families()),
                         [](const auto& info) { return family_name(info.param); });

TEST(StartOfBert, ABareBackboneNeedsANewHead) {
  const auto config = tiny_texts().front();
  const test::Folder folder;
  const auto published = drawn(config, 1);
  Named bare;
  for (const auto& [name, value] : tensors_of(*published))
    if (name.starts_with("bert.") && name.find("pooler") == std::string::npos) bare[name.substr(5)] = value;
  tensor::write_safetensors(folder.path / "model.safetensors", bare, {});
  write_file_atomic(folder.path / "config.json", config.dump());
  const auto model = drawn(config, 2);
  try {
    load_start(*model, chosen_of(config, folder.path, false));
    FAIL();
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("head = \"new\""), std::string::npos) << error.what();
  }
  load_start(*model, chosen_of(config, folder.path, true));
  const auto have = tensors_of(*model);
  for (const auto& [name, value] : bare) EXPECT_TRUE(value.equal(have.at("bert." + name))) << name;
  Chosen none;
  load_start(*model, none);
  EXPECT_EQ(tensors_of(*model).size(), have.size());
}

TEST(StartOfBert, GoesBackToTheSameLayout) {
  const auto config = tiny_texts().front();
  const test::Folder folder;
  write_file_atomic(folder.path / "vocab.txt", "[PAD]\n[UNK]\n");
  const auto model = drawn(config, 1);
  ASSERT_TRUE(save_model(*model, folder.path / "out", {folder.path / "vocab.txt"}, {{"id", "x"}}));
  EXPECT_EQ(read_file(folder.path / "out" / "vocab.txt"), "[PAD]\n[UNK]\n");
  const auto again = drawn(config, 2);
  load_weights(*again, folder.path / "out");
  const auto theirs = tensors_of(*model);
  for (const auto& [name, value] : tensors_of(*again)) EXPECT_TRUE(value.equal(theirs.at(name))) << name;
  model->insert_adapters("adapters", 2, Rng(3, "adapters"));
  EXPECT_FALSE(save_model(*model, folder.path / "adapted", {}, {}));
  EXPECT_FALSE(std::filesystem::exists(folder.path / "adapted"));
}

}  // namespace
}  // namespace expunge::models
