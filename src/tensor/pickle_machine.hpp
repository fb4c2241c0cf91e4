// The machine behind tensor/pickle.hpp; not for others. Its opcodes are in pickle_opcodes.cpp, what it makes
// of the names that a state dict needs in pickle_tensors.cpp.
#pragma once

#include <fmt/format.h>

#include <deque>
#include <unordered_map>

#include "core/error.hpp"
#include "tensor/pickle.hpp"

namespace expunge::tensor::pickle {

inline constexpr std::size_t kMostBytes = std::size_t{64} << 20, kMostValues = 4'000'000;

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

}  // namespace expunge::tensor::pickle
