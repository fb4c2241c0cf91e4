#include "engine/cell_requests.hpp"

#include <algorithm>
#include <cmath>

#include "engine/evaluate.hpp"
#include "metrics/sums.hpp"

namespace expunge {
namespace {

// Share of correct answers of these samples.
double accuracy_on(const metrics::Outputs& outputs, const std::vector<std::int64_t>& ids) {
  const auto sums = metrics::split_sums(select_rows(outputs, ids));
  return sums.count == 0 ? std::nan("") : static_cast<double>(sums.correct) / static_cast<double>(sums.count);
}

// Planned steps of each request, from the options of the cell.
void plan_steps(const Node& node, const sweep::Cell& cell, std::vector<Request>& requests) {
  for (auto& request : requests) {
    config::Diagnostics problems;
    auto in = config::Reader::resolved("method." + cell.method, cell.settings.at("method_options"), problems);
    const methods::Sizes sizes{.forget = std::ssize(request.forget),
                               .retain = std::ssize(request.retain),
                               .classes = node.dataset.info().classes,
                               .unseen = std::ssize(node.splits.val)};
    for (const auto& phase : methods::find_descriptor(cell.method)->plan(in, sizes))
      if (phase.scheduled) request.steps += phase.steps;
  }
}

}  // namespace

RequestsRun unlearn_in_requests(Node& node, const sweep::Cell& cell, Context::Setup setup,
                                const std::function<Outcome(Context&)>& program) {
  auto requests = make_requests(node.splits.requests, node.splits.train);
  plan_steps(node, cell, requests);
  RequestHooks hooks;
  hooks.program = program;
  std::vector<std::int64_t> arrived;
  hooks.prepare = [&](std::size_t j, Context::Setup& own, bool fresh) {
    arrived.clear();
    for (std::size_t i = 0; i <= j; ++i)
      arrived.insert(arrived.end(), requests[i].forget.begin(), requests[i].forget.end());
    std::sort(arrived.begin(), arrived.end());
    node.take_samples(arrived, own.retain);
    own.samples = node.train_samples.get();
    if (methods::find_descriptor(cell.method)->from_scratch && fresh && j > 0) {
      node.model->initialize(Rng(own.seed, "init"));
      if (node.start.new_head) node.load_start();
    }
  };
  hooks.measure = [&](std::size_t j) {
    const double evaluated = node.evaluated;
    const auto train = node.outputs(*node.model, data::Side::kTrain, node.splits.train),
               test = node.outputs(*node.model, data::Side::kTest, node.splits.test);
    node.evaluated = evaluated;
    Measured out{};
    node.comm.together([&] {
      if (node.comm.rank() != 0) return;
      out = {accuracy_on(train, arrived), accuracy_on(train, requests[j].forget),
             accuracy_on(train, requests[j].retain), accuracy_on(test, node.splits.test)};
    });
    return out;
  };
  return run_requests(std::move(setup), requests, hooks);
}

}  // namespace expunge
