// A text classifier on real sentences from a table trains to the same bits on any number of ranks, and after
// being interrupted; its inputs are what the data set holds.
#include <gtest/gtest.h>

#include "data/text_samples.hpp"
#include "engine/text_source.hpp"
#include "models/descriptor.hpp"
#include "tests/mpi/engine/family_toys.hpp"
#include "tests/mpi/support/mpi_main.hpp"
#include "tests/unit/data_fixture.hpp"

namespace expunge::test {
namespace {

class TextData : public data::DataTest {
 protected:
  std::shared_ptr<const data::Dataset> sentences(nlohmann::json more = nlohmann::json::object()) {
    more.update({{"path", (data::kSamples / "pgr").string()},
                 {"reader", "text_table"},
                 {"text_column", "SENTENCE"},
                 {"label_column", "RELATION"},
                 {"tokens", 12}});
    return data::open("sentences", more);
  }
};

Batch load(const data::Dataset& dataset, const std::vector<std::int64_t>& ids) {
  Batch out;
  out.ids = ids;
  TextSource(dataset, data::Side::kTrain, torch::kCPU).load(ids, 0, out);
  return out;
}

TEST_F(TextData, InputsAreTheStoredTokens) {
  const auto dataset = sentences();
  const auto batch = load(*dataset, {5, 0});
  EXPECT_EQ(batch.inputs.at("input_ids").sizes(), (std::vector<std::int64_t>{2, 12}));
  EXPECT_EQ(batch.inputs.at("attention_mask").sum().item<std::int64_t>(), 24);  // longer sentences, cut
  EXPECT_EQ(batch.inputs.count("token_type_ids"), 0u);
  EXPECT_EQ(batch.labels[1].item<std::int64_t>(), dataset->label(data::Side::kTrain, 0));
  EXPECT_EQ(batch.inputs.at("input_ids")[0][0].item<std::int64_t>(), data::kWholeText);
}

TEST_F(TextData, SecondTextsHaveTheirOwnType) {
  const auto dataset = sentences({{"second_column", "GENE"}});
  const auto batch = load(*dataset, {0});
  const auto types = batch.inputs.at("token_type_ids"), mask = batch.inputs.at("attention_mask");
  EXPECT_EQ(types.sum().item<std::int64_t>(), 2);  // one word and its end
  EXPECT_EQ(types[0][0].item<std::int64_t>(), 0);
  EXPECT_EQ(types[0][mask.sum().item<std::int64_t>() - 1].item<std::int64_t>(), 1);
}

TEST_F(TextData, BitsAreTheSameOnAnyRanksAndAfterResuming) {
  const auto dataset = sentences();
  std::vector<std::int64_t> ids(26);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int64_t>(i) * 20;
  const auto batch = load(*dataset, ids);
  auto config =
      models::find_descriptor("bert-tiny")->config("bert-tiny", {0, 1, 12, 2, 12, data::kWordVocabulary});
  config.update({{"hidden_size", 16}, {"num_attention_heads", 2}, {"intermediate_size", 24}});
  Toy toy = conv_toy(5, 14);
  toy.make = [config] { return models::build(config); };
  toy.samples = std::make_shared<Samples>(batch.inputs, batch.labels);
  toy.task = tasks::make_classification(2);
  toy.classes = 2;
  toy.grain = 3;
  toy = toy.with({{"epochs", 1}, {"batch", 7}});
  const auto single = run_method("rand_label", toy, alone()), many = run_method("rand_label", toy, world());
  EXPECT_EQ(single.hash, many.hash);
  EXPECT_EQ(single.report.history, many.report.history);
  EXPECT_FALSE(single.values.equal(single.start));
  const auto cut = run_method("rand_label", toy, world(), 1);
  ASSERT_TRUE(cut.interrupted);
  EXPECT_EQ(run_method("rand_label", toy, alone(), 0, &cut.checkpoint).hash, single.hash);
}

}  // namespace
}  // namespace expunge::test
