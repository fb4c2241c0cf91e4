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

}  // namespace expunge
