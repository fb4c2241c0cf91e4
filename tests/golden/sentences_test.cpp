// A published BERT encoder, all-MiniLM-L6-v2: its tokens and sentence embeddings are those of `transformers`
// (sentences.json, made by make_sentences.py).
#include <gtest/gtest.h>

#include <ATen/Parallel.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/files.hpp"
#include "data/tokenizers/tokenizer.hpp"
#include "models/folder.hpp"
#include "models/torch/model.hpp"

namespace expunge {
namespace {

// Where launch/fetch_model.sh puts it.
fs::path minilm() {
  if (const char* given = std::getenv("EXPUNGE_MODELS")) return fs::path(given) / "minilm";
  if (const char* cache = std::getenv("XDG_CACHE_HOME")) return fs::path(cache) / "expunge/models/minilm";
  const char* home = std::getenv("HOME");
  return fs::path(home ? home : "") / ".cache/expunge/models/minilm";
}

TEST(Sentences, OfMiniLmAreThoseOfTransformers) {
  const auto folder = minilm();
  if (!fs::exists(folder / "model.safetensors"))
    GTEST_SKIP() << folder << " is absent (launch/fetch_model.sh minilm)";
  at::set_num_threads(1);
  const auto golden = nlohmann::json::parse(read_file(EXPUNGE_SOURCE_DIR "/tests/golden/sentences.json"));
  const auto tokenizer = data::read_tokenizer(folder);
  const auto model = models::build(models::read_model_config(folder));
  const auto report = models::load_tensors(*model, folder / "model.safetensors", true);
  EXPECT_EQ(report.fresh, (std::vector<std::string>{"classifier.bias", "classifier.weight"}));
  EXPECT_TRUE(report.missing.empty());
  model->eval();
  const torch::NoGradGuard no_grad;
  for (const auto& row : golden.at("rows")) {
    const auto text = row.at("text").get<std::string>();
    SCOPED_TRACE(text);
    const auto ids = tokenizer->encode(text).ids;
    ASSERT_EQ(ids, row.at("ids").get<std::vector<std::int32_t>>());
    const torch::Tensor input = torch::tensor(ids, torch::kInt).to(torch::kLong).unsqueeze(0);
    const torch::Tensor mean = model->forward({{"input_ids", input}}).at("features").mean(1).squeeze(0);
    const torch::Tensor expected = torch::tensor(row.at("embedding").get<std::vector<float>>());
    EXPECT_LT((mean / mean.norm() - expected).abs().max().item<float>(), 1e-5f);
  }
}

}  // namespace
}  // namespace expunge
