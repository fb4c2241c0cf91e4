#include "engine/transfer.hpp"

#include "core/error.hpp"
#include "engine/data_source.hpp"
#include "engine/evaluate.hpp"

namespace expunge {

void add_transfer(Node& node, const nlohmann::json& sets, const OriginalModel& original,
                  const std::string& original_id, metrics::Inputs& inputs) {
  const double evaluated = node.evaluated;
  data::DataOptions options;
  options.test_limit = node.data_options.test_limit;
  options.split_seed = node.data_options.split_seed;
  for (const auto& set : sets) {
    const auto name = set.at("dataset").get<std::string>();
    const data::Dataset& dataset = node.bench.dataset(name, set.at("options"));
    const auto ids = data::make_splits(dataset, options, data::Ratio{0, 1, "0"}).test;
    const auto samples = make_source(dataset, data::Side::kTest, options, 0, node.bench.device);
    const auto outputs_of = [&](models::Model& model) {
      return evaluate(model, *node.task, *samples, ids, node.eval_grain, node.comm,
                      [&] { node.bench.runtime.tick(); });
    };
    inputs.outputs["transfer." + name] = outputs_of(*node.model);
    const std::string key = fmt::format("transfer {} {} {}", original_id, name, dataset.checksum());
    inputs.outputs["original.transfer." + name] = node.bench.shared_outputs(key, [&] {
      auto before = models::build(node.model_config);
      node.comm.together([&] { models::load_weights(*before, original.folder); });
      before->to(node.bench.device);
      return outputs_of(*before);
    });
  }
  node.evaluated = evaluated;
}

}  // namespace expunge
