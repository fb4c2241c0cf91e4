#include "engine/evaluate.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace expunge {

metrics::Outputs evaluate(models::Model& model, const tasks::Task& task, const SampleSource& samples,
                          const std::vector<std::int64_t>& ids, std::int64_t grain, comm::Communicator& comm,
                          const std::function<void()>& tick) {
  const torch::NoGradGuard no_grad;
  model.eval();
  for (models::BatchNorm* bn : model.batch_norms()) bn->frozen = true;
  const auto n = static_cast<std::int64_t>(ids.size()), classes = task.summary_width();
  const std::int64_t grains = (n + grain - 1) / grain;
  const auto begin_of = [&](std::int64_t g) { return std::min(n, g * grain); };
  const auto [first, last] = comm::owned_leaves(grains, comm.rank(), comm.size());
  const std::int64_t local_begin = begin_of(first), local_count = begin_of(last) - local_begin;

  std::vector<float> logits(static_cast<std::size_t>(local_count * classes));
  std::vector<std::int64_t> labels(static_cast<std::size_t>(local_count));
  comm.together([&] {
    for (std::int64_t g = first; g < last; ++g) {
      Batch b;
      b.ids.assign(ids.begin() + begin_of(g), ids.begin() + begin_of(g + 1));
      samples.load(b.ids, -1, b);
      const torch::Tensor z =
          task.summary(model.forward(b.inputs), b).to(torch::kCPU, torch::kFloat).contiguous();
      EXPUNGE_CHECK(z.dim() == 2 && z.size(1) == classes, "the model gives {} classes, the data set has {}",
                    z.size(-1), classes);
      const torch::Tensor y =
          b.labels.dim() == 1 ? b.labels.to(torch::kCPU) : torch::zeros({b.size()}, torch::kLong);
      const auto at = begin_of(g) - local_begin;
      std::copy_n(z.data_ptr<float>(), z.numel(), logits.begin() + at * classes);
      std::copy_n(y.data_ptr<std::int64_t>(), y.numel(), labels.begin() + at);
      tick();
    }
  });

  metrics::Outputs out;
  out.classes = classes;
  out.answers = task.answers_are_inputs();
  std::vector<std::size_t> label_bytes, logit_bytes;
  for (int r = 0; r < comm.size(); ++r) {
    const auto [f, l] = comm::owned_leaves(grains, r, comm.size());
    const auto count = static_cast<std::size_t>(begin_of(l) - begin_of(f));
    label_bytes.push_back(count * sizeof(std::int64_t));
    logit_bytes.push_back(count * static_cast<std::size_t>(classes) * sizeof(float));
  }
  if (comm.rank() == 0) {
    out.ids = ids;
    out.labels.resize(static_cast<std::size_t>(n));
    out.logits.resize(static_cast<std::size_t>(n * classes));
  }
  comm.gather(labels.data(), out.labels.data(), label_bytes, 0);
  comm.gather(logits.data(), out.logits.data(), logit_bytes, 0);
  return out;
}

metrics::Outputs select_rows(const metrics::Outputs& from, const std::vector<std::int64_t>& ids) {
  metrics::Outputs out;
  out.classes = from.classes, out.answers = from.answers;
  out.ids = ids;
  out.labels.reserve(ids.size());
  out.logits.reserve(ids.size() * static_cast<std::size_t>(from.classes));
  for (auto id : ids) {
    const auto found = std::lower_bound(from.ids.begin(), from.ids.end(), id);
    EXPUNGE_CHECK(found != from.ids.end() && *found == id, "sample {} was not evaluated", id);
    const auto row = found - from.ids.begin();
    out.labels.push_back(from.labels[static_cast<std::size_t>(row)]);
    out.logits.insert(out.logits.end(), from.row(row), from.row(row) + from.classes);
  }
  return out;
}

}  // namespace expunge
