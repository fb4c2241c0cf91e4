#include "core/error.hpp"
#include "tasks/task.hpp"

namespace expunge {

Batch rows_of(const Batch& b, const torch::Tensor& rows) {
  Batch out = b;
  for (auto& [name, value] : out.inputs)
    if (name.rfind("graph.", 0) != 0) value = value.index_select(0, rows);
  out.labels = b.labels.index_select(0, rows);
  if (b.is_forget.defined()) out.is_forget = b.is_forget.index_select(0, rows);
  const torch::Tensor host = rows.to(torch::kCPU);
  out.ids.clear();
  for (std::int64_t i = 0; i < host.numel(); ++i)
    out.ids.push_back(b.ids[static_cast<std::size_t>(host.data_ptr<std::int64_t>()[i])]);
  return out;
}

Batch tasks::Task::corrupted(const Batch& b, const std::string& mode, const Rng& rng) const {
  Batch out = b;
  out.labels = corrupt(b, mode, rng);
  return out;
}

Batch tasks::Task::preferred(const Batch& b, const Rng& rng) const {
  return corrupted(b, "uniform_other", rng);
}

torch::Tensor tasks::Task::drawn(const models::Tensors&, const Batch&, const Rng&) const {
  throw InternalError("targets cannot be drawn for the task " + name());
}

torch::Tensor tasks::Task::summary(const models::Tensors& outputs, const Batch&) const {
  return outputs.at("logits").to(torch::kFloat);
}

}  // namespace expunge
