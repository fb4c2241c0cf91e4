#include <cstring>

#include "tensor/pickle_machine.hpp"

namespace expunge::tensor::pickle {

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

}  // namespace expunge::tensor::pickle
