#include "tensor/pickle.hpp"

#include "tensor/pickle_machine.hpp"

namespace expunge::tensor {
namespace {

// The tensors of a dict; false where it has none.
bool collect(const pickle::Machine& machine, const pickle::Value& dict, StateDict& out) {
  if (dict.kind != pickle::Kind::kDict) return false;
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const pickle::Value &key = machine.value(dict.items[i]), &value = machine.value(dict.items[i + 1]);
    if (key.kind == pickle::Kind::kText && value.kind == pickle::Kind::kTensor)
      out.tensors[std::string(key.text)] = machine.tensor(value);
  }
  return !out.tensors.empty();
}

}  // namespace

StateDict read_state_dict(std::string_view bytes, const std::string& place) {
  pickle::Machine machine(bytes, place);
  StateDict out;
  const pickle::Value& root = machine.value(machine.run());
  out.end = machine.end();
  if (root.kind != pickle::Kind::kDict) machine.fail("expected a dict of names and tensors");
  for (const auto& storage : machine.storages()) out.storages[storage.key] = storage;
  // "state_dict" first: files that have it hold other tensors (an accuracy, a step) beside it.
  for (const char* inner : {"state_dict", "model", "module", "net"})
    for (std::size_t i = 0; i + 1 < root.items.size(); i += 2)
      if (const pickle::Value& key = machine.value(root.items[i]);
          key.kind == pickle::Kind::kText && key.text == inner)
        if (collect(machine, machine.value(root.items[i + 1]), out)) return out;
  if (!collect(machine, root, out)) machine.fail("no tensors in it");
  return out;
}

std::vector<std::string> read_text_list(std::string_view bytes, const std::string& place, std::size_t& end) {
  pickle::Machine machine(bytes, place);
  const pickle::Value& root = machine.value(machine.run());
  end = machine.end();
  if (root.kind != pickle::Kind::kList) machine.fail("expected a list of texts");
  std::vector<std::string> out;
  for (const pickle::Number n : root.items) {
    if (machine.value(n).kind != pickle::Kind::kText) machine.fail("expected a list of texts");
    out.emplace_back(machine.value(n).text);
  }
  return out;
}

std::size_t skip_pickle(std::string_view bytes, const std::string& place) {
  pickle::Machine machine(bytes, place);
  machine.run();
  return machine.end();
}

}  // namespace expunge::tensor
