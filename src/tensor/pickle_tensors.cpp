#include <algorithm>
#include <set>

#include "tensor/pickle_machine.hpp"

namespace expunge::tensor::pickle {
namespace {

// The names that a state dict needs. A storage type is checked where bytes are read.
bool is_storage_type(const std::string& name) {
  static const std::set<std::string> known{
      "torch FloatStorage", "torch HalfStorage", "torch BFloat16Storage", "torch DoubleStorage",
      "torch LongStorage",  "torch IntStorage",  "torch ShortStorage",    "torch CharStorage",
      "torch ByteStorage",  "torch BoolStorage"};
  return known.count(name) > 0;
}
bool is_known(const std::string& name) {
  static const std::set<std::string> known{"collections OrderedDict",
                                           "torch._utils _rebuild_tensor_v2",
                                           "torch._utils _rebuild_tensor",
                                           "torch._utils _rebuild_parameter",
                                           "torch Size",
                                           "torch.jit._pickle restore_type_tag"};
  return is_storage_type(name) || known.count(name) > 0;
}

}  // namespace

void Machine::global(const std::string& module, const std::string& name) {
  std::string full = module + " " + name;
  if (!is_known(full))
    fail(
        fmt::format("\"{}.{}\" is no tensor: refused (only tensors are read, nothing is run)", module, name));
  texts_.push_back(std::move(full));
  push({.kind = Kind::kGlobal, .text = texts_.back()});
}

// ('storage', type, key, location, elements[, view])
void Machine::persistent() {
  const Value& id = values_[pop()];
  const auto item = [&](std::size_t i) -> const Value& { return values_[id.items[i]]; };
  const bool sound = id.kind == Kind::kTuple && id.items.size() >= 5 && item(0).kind == Kind::kText &&
                     item(0).text == "storage" && item(1).kind == Kind::kGlobal &&
                     is_storage_type(std::string(item(1).text)) && item(2).kind == Kind::kText &&
                     item(4).kind == Kind::kInteger && item(4).integer >= 0;
  if (!sound) fail("a reference to something other than a storage: refused");
  if (id.items.size() > 5 && item(5).kind != Kind::kNone) fail("views of storages are not supported");
  storages_.push_back({std::string(item(2).text), std::string(item(1).text.substr(6)), item(4).integer});
  push({.kind = Kind::kStorage, .integer = static_cast<std::int64_t>(storages_.size() - 1)});
}

std::vector<std::int64_t> Machine::sizes(const Value& value) const {
  if (value.kind != Kind::kTuple && value.kind != Kind::kSize) fail("sizes that are no tuple");
  if (value.items.size() > 64) fail("a tensor of more than 64 dimensions");
  std::vector<std::int64_t> out;
  for (const Number n : value.items) {
    if (values_[n].kind != Kind::kInteger || values_[n].integer < 0) fail("a size that is no whole number");
    out.push_back(values_[n].integer);
  }
  return out;
}

// (storage, offset, sizes, strides, ...). Elements must lie inside the storage, and be no more than it has.
Value Machine::rebuild_tensor(const Value& arguments) {
  const auto& items = arguments.items;
  if (items.size() < 4 || values_[items[0]].kind != Kind::kStorage ||
      values_[items[1]].kind != Kind::kInteger)
    fail("a tensor without storage, offset, sizes and strides");
  TensorRecord out{storage(values_[items[0]]), values_[items[1]].integer, sizes(values_[items[2]]),
                   sizes(values_[items[3]])};
  if (out.shape.size() != out.stride.size()) fail("a tensor with as many sizes as strides was expected");
  std::int64_t elements = 1, last = out.offset;
  bool overflow = out.offset < 0, empty = false;
  for (std::size_t d = 0; d < out.shape.size() && !overflow; ++d) {
    empty |= out.shape[d] == 0;
    std::int64_t reach = 0;
    overflow = __builtin_mul_overflow(elements, std::max<std::int64_t>(out.shape[d], 1), &elements) ||
               __builtin_mul_overflow(std::max<std::int64_t>(out.shape[d] - 1, 0), out.stride[d], &reach) ||
               __builtin_add_overflow(last, reach, &last);
  }
  if (overflow || out.offset > out.storage.elements ||
      (!empty && (last >= out.storage.elements || elements > out.storage.elements)))
    fail(fmt::format("a tensor reaches outside its storage of {} elements", out.storage.elements));
  tensors_.push_back(std::move(out));
  return {.kind = Kind::kTensor, .integer = static_cast<std::int64_t>(tensors_.size() - 1)};
}

Value Machine::reduce(const Value& function, const Value& arguments) {
  if (function.kind != Kind::kGlobal || arguments.kind != Kind::kTuple)
    fail("a call of something other than a name: refused");
  if (function.text == "collections OrderedDict") {
    if (arguments.items.empty()) return {.kind = Kind::kDict};
    const Value& pairs = values_[arguments.items[0]];  // a list of [key, value]
    Value out{.kind = Kind::kDict};
    count_copied(pairs.items.size());
    if (pairs.kind != Kind::kList) fail("an OrderedDict of something other than a list");
    for (const Number n : pairs.items) {
      const Value& pair = values_[n];
      if (pair.items.size() != 2) fail("an OrderedDict of something other than pairs");
      out.items.insert(out.items.end(), pair.items.begin(), pair.items.end());
    }
    count_copied(out.items.size());
    return out;
  }
  if (function.text.starts_with("torch._utils _rebuild_tensor")) return rebuild_tensor(arguments);
  if (function.text == "torch.jit._pickle restore_type_tag") {  // (value, its type): written by LibTorch
    if (arguments.items.empty()) fail("a type without a value");
    count_copied(values_[arguments.items[0]].items.size());
    return values_[arguments.items[0]];
  }
  if (function.text == "torch._utils _rebuild_parameter") {
    if (arguments.items.empty() || values_[arguments.items[0]].kind != Kind::kTensor)
      fail("a parameter without a tensor");
    return values_[arguments.items[0]];
  }
  if (function.text == "torch Size") {
    if (arguments.items.size() != 1) fail("torch.Size of something other than a tuple");
    count_copied(values_[arguments.items[0]].items.size());
    Value out = values_[arguments.items[0]];
    out.kind = Kind::kSize;
    return out;
  }
  fail(fmt::format("\"{}\" is called: refused", function.text));
}

}  // namespace expunge::tensor::pickle
