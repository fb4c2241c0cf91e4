// Models by path: what is told of a folder before anything runs, and what of it is part of a cell's id.
#include "models/folder.hpp"

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "sweep/sweep.hpp"
#include "tests/unit/data_fixture.hpp"

namespace expunge::sweep {
namespace {

using nlohmann::json;

const json kConfig{{"model_type", "bert"},
                   {"architectures", {"BertForSequenceClassification"}},
                   {"hidden_size", 8},
                   {"num_hidden_layers", 1},
                   {"num_attention_heads", 2},
                   {"intermediate_size", 16},
                   {"max_position_embeddings", 32},
                   {"vocab_size", 9},
                   {"num_labels", 2}};

class ModelFolder : public data::DataTest {
 protected:
  ModelFolder() {
    write("own/train.csv", "text,label\ngood film,1\nbad film,0\ngood,1\nbad,0\n");
    write("own/test.csv", "text,label\nfilm,1\nfilms,0\n");
    write("mine/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\nbad\nfilm\n##s\n");
    write("mine/model.safetensors", "weights");
    config(json::object());
  }
  void config(const json& changes) {
    json all = kConfig;
    all.update(changes);
    write("mine/config.json", all.dump());
  }
  std::string job(const std::string& model = "[\"mine\"]",
                  const std::string& more = "[model.mine]\npath = \"mine\"\n") {
    return "[sweep]\ndataset = [\"own\"]\nmodel = " + model +
           "\nmethod = [\"finetune\"]\nratio = [0.25]\n[dataset.own]\nreader = \"text_table\"\npath = \"" +
           (folder_ / "own").string() +
           "\"\ntokens = 8\n[original]\nepochs = 1\nbatch = 2\n[train]\nbatch = 2\n" + more;
  }
  Plan plan(const std::string& text) { return load(write("job.toml", text), {}); }
  std::string problem(const std::string& text) {
    try {
      plan(text);
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 64) << error.what();
      return error.what();
    }
  }
};

TEST_F(ModelFolder, ItsVocabularyCutsTheTexts) {
  const auto p = plan(job());
  ASSERT_EQ(p.cells.size(), 1u);
  const auto& settings = p.originals[0].settings;
  EXPECT_EQ(settings["model_options"]["path"], (folder_ / "mine").string());
  EXPECT_EQ(settings["dataset_options"]["tokenizer"], (folder_ / "mine").string());
  // (9 + 32 + 2 + 2) * 8 embeddings, a layer, the pooler, the classifier
  EXPECT_EQ(p.originals[0].parameters, 45 * 8 + (4 * 72 + 9 * 16 + 17 * 8 + 32) + 72 + 18);
}

TEST_F(ModelFolder, MayStandOnTheAxis) {
  const auto named = plan(job());
  const auto by_table = plan(job("{ path = \"mine\" }", ""));
  EXPECT_EQ(by_table.cells[0].id, named.cells[0].id);
  EXPECT_EQ(by_table.cells[0].model, "mine");
  const auto in_list =
      plan(job("[\"bert-tiny\", { path = \"mine\", name = \"mine2\", head = \"new\" }]", ""));
  EXPECT_EQ(in_list.cells.size(), 2u);
  EXPECT_EQ(in_list.cells[1].model, "mine2");
  EXPECT_NE(problem(job("{ path = \"mine\", tail = \"x\" }", "")).find("unknown key"), std::string::npos);
  EXPECT_NE(problem(job("[{ head = \"new\" }]", "")).find("needs a path"), std::string::npos);
}

TEST_F(ModelFolder, IdsFollowTheWeightsNotThePlace) {
  const auto id = [&](const std::string& text) { return plan(text).cells[0].id; };
  const auto before = id(job());
  std::filesystem::create_directories(folder_ / "elsewhere");
  std::filesystem::copy(folder_ / "mine", folder_ / "elsewhere", std::filesystem::copy_options::recursive);
  EXPECT_EQ(id(job("[\"mine\"]", "[model.mine]\npath = \"elsewhere\"\n")), before);
  EXPECT_NE(id(job("[\"mine\"]", "[model.mine]\npath = \"mine\"\nhead = \"new\"\n")), before);
  write("mine/model.safetensors", "others");
  EXPECT_NE(id(job()), before);
  write("mine/model.safetensors", "weights");
  EXPECT_EQ(id(job()), before);
  write("mine/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nbad\ngood\nfilm\n##s\n");
  EXPECT_NE(id(job()), before);
}

TEST_F(ModelFolder, MistakesAreToldWithTheFix) {
  const auto at = "job.toml:16:8: model.mine.path: ";
  EXPECT_NE(problem(job("[\"mine\"]", "[model.mine]\npath = \"none\"\n")).find("no such folder"),
            std::string::npos);
  config({{"model_type", "berd"}});
  EXPECT_NE(problem(job()).find("did you mean \"bert\""), std::string::npos) << problem(job());
  EXPECT_NE(problem(job()).find(at), std::string::npos) << problem(job());
  config({{"num_labels", 3}});
  EXPECT_NE(problem(job()).find("tells 3 classes apart, the data set has 2; set [model.mine] head = \"new\""),
            std::string::npos);
  EXPECT_EQ(problem(job("[\"mine\"]", "[model.mine]\npath = \"mine\"\nhead = \"new\"\n")), "");
  config({{"architectures", {"BertModel"}}});
  EXPECT_NE(problem(job()).find("\"BertModel\", which has no classifier; set [model.mine] head = \"new\""),
            std::string::npos);
  config({{"vocab_size", 30522}});
  EXPECT_NE(problem(job()).find("a vocabulary of 30522 tokens, the data set's tokenizer one of 9"),
            std::string::npos);
  config({{"max_position_embeddings", 4}});
  EXPECT_NE(problem(job()).find("set [dataset.NAME] tokens = 4 or less"), std::string::npos);
  config({{"hidden_size", "wide"}});
  EXPECT_NE(problem(job()).find("hidden_size is \"wide\""), std::string::npos);
  write("mine/config.json", "{");
  EXPECT_NE(problem(job()).find("not JSON"), std::string::npos);
  config(json::object());
  std::filesystem::remove(folder_ / "mine" / "model.safetensors");
  EXPECT_NE(problem(job()).find("no weights"), std::string::npos);
  EXPECT_NE(problem(job("[\"mine\"]", "[model.mine]\nhead = \"new\"\n")).find("unknown \"mine\""),
            std::string::npos);
  EXPECT_NE(
      problem(job("[\"bert-tiny\"]", "[model.bert-tiny]\nhead = \"new\"\n")).find("only a model with a path"),
      std::string::npos);
}

TEST_F(ModelFolder, ARegisteredNameMayGetWeights) {
  const auto p = plan(job("[\"bert-tiny\"]", "[model.bert-tiny]\npath = \"mine\"\n"));
  EXPECT_TRUE(p.originals[0].settings.contains("model_options"));
  EXPECT_NE(
      problem(job("[\"roberta-base\"]", "[model.roberta-base]\npath = \"mine\"\n")).find("not a \"roberta\""),
      std::string::npos);
}

TEST_F(ModelFolder, ImagesMustFit) {
  write("mine/config.json", json{{"model_type", "vit"},
                                 {"image_size", 32},
                                 {"num_channels", 3},
                                 {"hidden_size", 8},
                                 {"num_labels", 10}}
                                .dump());
  const auto message = problem(
      "[sweep]\ndataset = [\"fashion_mnist\"]\nmodel = [\"mine\"]\nmethod = [\"finetune\"]\nratio = [0.1]\n"
      "[model.mine]\npath = \"mine\"\n");
  EXPECT_NE(message.find("images of 3 channels, the data set's have 1"), std::string::npos) << message;
}

}  // namespace
}  // namespace expunge::sweep
