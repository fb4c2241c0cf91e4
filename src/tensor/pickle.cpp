#include "tensor/pickle.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <set>
#include <unordered_map>

#include "core/error.hpp"

namespace expunge::tensor {
namespace {

constexpr std::size_t kMostBytes = std::size_t{64} << 20, kMostValues = 4'000'000;

// A value on the stack. Values refer to each other by number: nothing is nested in memory, so nothing can be
// nested too deeply.
using Number = std::uint32_t;
struct Value {
  enum class Kind {
    kNone,
    kBool,
    kInteger,
    kReal,
    kText,
    kTuple,
    kList,
    kDict,
    kGlobal,
    kStorage,
    kTensor,
    kSize,
    kOther
  };
  Kind kind = Kind::kNone;
  std::int64_t integer = 0;     // kStorage, kTensor: position in its table
  std::string_view text{};      // kText; kGlobal: "module name"
  std::vector<Number> items{};  // kDict: key, value, key, value, ...
};
using Kind = Value::Kind;

class Machine {
 public:
  Machine(std::string_view bytes, const std::string& place) : bytes_(bytes), place_(place) {
    if (bytes.size() > kMostBytes) bytes_ = bytes.substr(0, kMostBytes);
  }

  Number run();
  std::size_t end() const { return at_; }
  const Value& value(Number n) const { return values_[n]; }
  const StorageRecord& storage(const Value& v) const {
    return storages_[static_cast<std::size_t>(v.integer)];
  }
  const TensorRecord& tensor(const Value& v) const { return tensors_[static_cast<std::size_t>(v.integer)]; }
  const std::vector<StorageRecord>& storages() const { return storages_; }
  [[noreturn]] void fail(const std::string& what) const {
    throw DataError::corrupt(fmt::format("{}: byte {} of the pickle: {}", place_, at_, what));
  }

 private:
  // --- reading
  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size() - at_) fail("cut short");
    const auto out = bytes_.substr(at_, count);
    at_ += count;
    return out;
  }
  std::uint64_t little(int count) {
    const auto text = take(static_cast<std::uint64_t>(count));
    std::uint64_t out = 0;
    for (int i = count; i-- > 0;)
      out = out << 8 | static_cast<unsigned char>(text[static_cast<std::size_t>(i)]);
    return out;
  }
  std::string_view line() {
    const std::size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) fail("cut short");
    const auto out = bytes_.substr(at_, end - at_);
    at_ = end + 1;
    return out;
  }
  // --- the stack
  Number make(Value value) {
    if (values_.size() >= kMostValues) fail("too many values");
    values_.push_back(std::move(value));
    return static_cast<Number>(values_.size() - 1);
  }
  void push(Value value) { stack_.push_back(make(std::move(value))); }
  Number pop() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("a value is missing");
    const Number out = stack_.back();
    stack_.pop_back();
    return out;
  }
  Number top() {
    const Number out = pop();
    stack_.push_back(out);
    return out;
  }
  std::vector<Number> pop_to_mark() {
    if (marks_.empty()) fail("a mark is missing");
    std::vector<Number> out(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return out;
  }
  std::vector<Number> pop_some(int count) {
    std::vector<Number> out(static_cast<std::size_t>(count));
    for (int i = count; i-- > 0;) out[static_cast<std::size_t>(i)] = pop();
    return out;
  }
  void push_tuple(std::vector<Number> items) { push({.kind = Kind::kTuple, .items = std::move(items)}); }
  void append(const std::vector<Number>& items);
  void set_items(const std::vector<Number>& items);
  // --- the opcodes, by group
  bool literal(unsigned char op);
  bool container(unsigned char op);
  bool memo(unsigned char op);
  bool call(unsigned char op);
  void global(const std::string& module, const std::string& name);
  void persistent();
  Value reduce(const Value& function, const Value& arguments);
  Value rebuild_tensor(const Value& arguments);
  std::vector<std::int64_t> sizes(const Value& value) const;
  // A few bytes can ask for the same long copy again and again.
  void count_copied(std::size_t values) {
    copied_ += values;
    if (copied_ > kMostValues) fail("too many values");
  }

  std::string_view bytes_;
  const std::string& place_;
  std::size_t at_ = 0, copied_ = 0;
  std::deque<Value> values_;
  std::deque<std::string> texts_;  // owned texts of kGlobal
  std::vector<Number> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Number> memo_;
  std::vector<StorageRecord> storages_;
  std::vector<TensorRecord> tensors_;
};

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

void Machine::global(const std::string& module, const std::string& name) {
  std::string full = module + " " + name;
  if (!is_known(full))
    fail(
        fmt::format("\"{}.{}\" is no tensor: refused (only tensors are read, nothing is run)", module, name));
  texts_.push_back(std::move(full));
  push({.kind = Kind::kGlobal, .text = texts_.back()});
}

void Machine::append(const std::vector<Number>& items) {
  Value& list = values_[top()];
  if (list.kind != Kind::kList) fail("append to what is no list");
  list.items.insert(list.items.end(), items.begin(), items.end());
}

void Machine::set_items(const std::vector<Number>& items) {
  Value& dict = values_[top()];
  if (dict.kind != Kind::kDict || items.size() % 2 != 0) fail("a key or value is set in what is no dict");
  dict.items.insert(dict.items.end(), items.begin(), items.end());
}

bool Machine::literal(unsigned char op) {
  switch (op) {
    case 'N':
      push({});
      return true;
    case 0x88:
    case 0x89:
      push({.kind = Kind::kBool, .integer = op == 0x88});
      return true;
    case 'K':
      push({.kind = Kind::kInteger, .integer = static_cast<std::int64_t>(little(1))});
      return true;
    case 'M':
      push({.kind = Kind::kInteger, .integer = static_cast<std::int64_t>(little(2))});
      return true;
    case 'J':
      push({.kind = Kind::kInteger, .integer = static_cast<std::int32_t>(little(4))});
      return true;
    case 0x8a: {  // LONG1: two's complement; more than 64 bits count as something else
      const auto count = static_cast<int>(little(1));
      if (count > 8) {
        take(static_cast<std::uint64_t>(count));
        push({.kind = Kind::kOther});
        return true;
      }
      std::uint64_t bits = count == 0 ? 0 : little(count);
      if (count > 0 && count < 8 && (bits >> (8 * count - 1) & 1)) bits |= ~std::uint64_t{0} << (8 * count);
      push({.kind = Kind::kInteger, .integer = static_cast<std::int64_t>(bits)});
      return true;
    }
    case 'G':
      take(8);
      push({.kind = Kind::kReal});
      return true;
    case 'X':
    case 'U':
    case 'T':
    case 'B':
      push({.kind = Kind::kText, .text = take(little(op == 'U' ? 1 : 4))});
      return true;
    case 0x8c:
    case 'C':
      push({.kind = Kind::kText, .text = take(little(1))});
      return true;
    case 0x8d:
    case 0x8e:
      push({.kind = Kind::kText, .text = take(little(8))});
      return true;
    default:
      return false;
  }
}

bool Machine::container(unsigned char op) {
  switch (op) {
    case '(':
      marks_.push_back(stack_.size());
      return true;
    case '0':
      pop();
      return true;
    case '1':
      pop_to_mark();
      return true;
    case '}':
      push({.kind = Kind::kDict});
      return true;
    case ']':
      push({.kind = Kind::kList});
      return true;
    case ')':
      push_tuple({});
      return true;
    case 't':
      push_tuple(pop_to_mark());
      return true;
    case 'l':
      push({.kind = Kind::kList, .items = pop_to_mark()});
      return true;
    case 'd': {
      auto items = pop_to_mark();
      push({.kind = Kind::kDict});
      set_items(items);
      return true;
    }
    case 0x85:
    case 0x86:
    case 0x87:
      push_tuple(pop_some(op - 0x84));
      return true;
    case 'a':
      append({pop()});
      return true;
    case 'e':
      append(pop_to_mark());
      return true;
    case 's':
      set_items(pop_some(2));
      return true;
    case 'u':
      set_items(pop_to_mark());
      return true;
    default:
      return false;
  }
}

bool Machine::memo(unsigned char op) {
  const auto get = [&](std::uint64_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) fail(fmt::format("value {} is not remembered", key));
    stack_.push_back(found->second);
    if (stack_.size() > kMostValues) fail("too many values");
  };
  switch (op) {
    case 'q':
      memo_[little(1)] = top();
      return true;
    case 'r':
      memo_[little(4)] = top();
      return true;
    case 0x94:
      memo_[memo_.size()] = top();
      return true;
    case 'h':
      get(little(1));
      return true;
    case 'j':
      get(little(4));
      return true;
    default:
      return false;
  }
}

bool Machine::call(unsigned char op) {
  switch (op) {
    case 'c': {
      const std::string module(line()), name(line());
      global(module, name);
      return true;
    }
    case 0x93: {  // STACK_GLOBAL
      const Value &name = values_[pop()], &module = values_[pop()];
      if (name.kind != Kind::kText || module.kind != Kind::kText) fail("a name that is no text");
      global(std::string(module.text), std::string(name.text));
      return true;
    }
    case 'R':
    case 0x81: {  // REDUCE, NEWOBJ
      const Number arguments = pop(), function = pop();
      push(reduce(values_[function], values_[arguments]));
      return true;
    }
    case 'b':
      pop();
      top();
      return true;  // BUILD: attributes, such as _metadata, are dropped
    case 'Q':
      persistent();
      return true;
    default:
      return false;
  }
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

Number Machine::run() {
  for (;;) {
    const auto op = static_cast<unsigned char>(take(1)[0]);
    if (op == '.') return pop();
    if (op == 0x80) {  // PROTO
      if (const auto protocol = little(1); protocol > 5)
        fail(fmt::format("protocol {} is not known", protocol));
    } else if (op == 0x95) {  // FRAME
      take(8);
    } else if (!literal(op) && !container(op) && !memo(op) && !call(op)) {
      fail(fmt::format("opcode 0x{:02x} is refused (only tensors are read, nothing is run)", op));
    }
  }
}

// The tensors of a dict; false where it has none.
bool collect(const Machine& machine, const Value& dict, StateDict& out) {
  if (dict.kind != Kind::kDict) return false;
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const Value &key = machine.value(dict.items[i]), &value = machine.value(dict.items[i + 1]);
    if (key.kind == Kind::kText && value.kind == Kind::kTensor)
      out.tensors[std::string(key.text)] = machine.tensor(value);
  }
  return !out.tensors.empty();
}

}  // namespace

StateDict read_state_dict(std::string_view pickle, const std::string& place) {
  Machine machine(pickle, place);
  StateDict out;
  const Value& root = machine.value(machine.run());
  out.end = machine.end();
  if (root.kind != Kind::kDict) machine.fail("expected a dict of names and tensors");
  for (const auto& storage : machine.storages()) out.storages[storage.key] = storage;
  // "state_dict" first: files that have it hold other tensors (an accuracy, a step) beside it.
  for (const char* inner : {"state_dict", "model", "module", "net"})
    for (std::size_t i = 0; i + 1 < root.items.size(); i += 2)
      if (const Value& key = machine.value(root.items[i]); key.kind == Kind::kText && key.text == inner)
        if (collect(machine, machine.value(root.items[i + 1]), out)) return out;
  if (!collect(machine, root, out)) machine.fail("no tensors in it");
  return out;
}

std::vector<std::string> read_text_list(std::string_view pickle, const std::string& place, std::size_t& end) {
  Machine machine(pickle, place);
  const Value& root = machine.value(machine.run());
  end = machine.end();
  if (root.kind != Kind::kList) machine.fail("expected a list of texts");
  std::vector<std::string> out;
  for (const Number n : root.items) {
    if (machine.value(n).kind != Kind::kText) machine.fail("expected a list of texts");
    out.emplace_back(machine.value(n).text);
  }
  return out;
}

std::size_t skip_pickle(std::string_view pickle, const std::string& place) {
  Machine machine(pickle, place);
  machine.run();
  return machine.end();
}

}  // namespace expunge::tensor
