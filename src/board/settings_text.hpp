// A cell's resolved settings as JSON. A large sweep has two kilobytes of them a cell, and cells of one
// (data set, model, method, ratio) differ in the seed and the original alone: they share the rest.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace expunge::board {

class SettingsText {
 public:
  // What several texts have in common. Of a text of another form `before` is all.
  struct Frame {
    std::string before, between, after;  // before the original's id, from there to the seed, behind it
    bool has_original = false, has_seed = false;
  };

  SettingsText() = default;
  SettingsText(const std::string& text) : SettingsText(std::string_view(text)) {}
  SettingsText(const char* text) : SettingsText(std::string_view(text)) {}
  explicit SettingsText(std::string_view text);
  SettingsText(std::shared_ptr<const Frame> frame, std::uint64_t original, std::int64_t seed)
      : frame_(std::move(frame)), original_(original), seed_(seed) {}

  std::string text() const;
  std::size_t size() const;  // of the text
  bool empty() const { return size() == 0; }
  const std::shared_ptr<const Frame>& frame() const { return frame_; }  // null: an empty text
  std::uint64_t original() const { return original_; }
  std::int64_t seed() const { return seed_; }
  bool operator==(const SettingsText& other) const { return text() == other.text(); }

 private:
  friend class SettingsPool;
  std::shared_ptr<const Frame> frame_;
  std::uint64_t original_ = 0;
  std::int64_t seed_ = 0;
};

// Gives texts that can share a frame the same one.
class SettingsPool {
 public:
  SettingsText add(std::string_view text);
  std::shared_ptr<const SettingsText::Frame> add(SettingsText::Frame frame);

 private:
  std::unordered_map<std::string, std::shared_ptr<const SettingsText::Frame>> frames_;
};

}  // namespace expunge::board
