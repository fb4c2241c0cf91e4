#include "board/settings_text.hpp"

#include <fmt/format.h>

#include <charconv>

namespace expunge::board {
namespace {

constexpr std::string_view kOriginal = "\"original_id\":\"", kSeed = "\"seed\":";
constexpr std::size_t kDigits = 16;  // of an id

std::string id_text(std::uint64_t id) { return fmt::format("{:016x}", id); }

// A value that is written exactly as it would be written again.
template <class T, class Write>
bool value_of(std::string_view text, int base, T& value, Write&& write) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size() && write(value) == text;
}

}  // namespace

SettingsText::SettingsText(std::string_view text) {
  if (text.empty()) return;
  Frame frame;
  std::string_view rest = text;
  if (const auto at = text.rfind(kOriginal); at != std::string_view::npos) {
    const std::size_t from = at + kOriginal.size();
    if (value_of(text.substr(from, kDigits), 16, original_, id_text)) {
      frame.has_original = true;
      frame.before = text.substr(0, from);
      rest = text.substr(from + kDigits);
    } else {
      original_ = 0;
    }
  }
  std::string& head = frame.has_original ? frame.between : frame.before;
  if (const auto at = rest.rfind(kSeed); at != std::string_view::npos) {
    const std::size_t from = at + kSeed.size();
    std::size_t to = from;
    while (to < rest.size() && (rest[to] == '-' || (rest[to] >= '0' && rest[to] <= '9'))) ++to;
    if (value_of(rest.substr(from, to - from), 10, seed_, [](std::int64_t v) { return std::to_string(v); })) {
      frame.has_seed = true;
      head = rest.substr(0, from);
      rest = rest.substr(to);
    } else {
      seed_ = 0;
    }
  }
  (frame.has_seed ? frame.after : head) = rest;
  frame_ = std::make_shared<const Frame>(std::move(frame));
}

std::string SettingsText::text() const {
  if (!frame_) return "";
  std::string out = frame_->before;
  if (frame_->has_original) out += id_text(original_);
  out += frame_->between;
  if (frame_->has_seed) out += std::to_string(seed_);
  return out += frame_->after;
}

std::size_t SettingsText::size() const {
  if (!frame_) return 0;
  return frame_->before.size() + frame_->between.size() + frame_->after.size() +
         (frame_->has_original ? kDigits : 0) + (frame_->has_seed ? std::to_string(seed_).size() : 0);
}

SettingsText SettingsPool::add(std::string_view text) {
  SettingsText out(text);
  if (out.frame_) out.frame_ = add(*out.frame_);
  return out;
}

std::shared_ptr<const SettingsText::Frame> SettingsPool::add(SettingsText::Frame frame) {
  // Lengths in front, so that no two frames have the same key.
  std::string key = fmt::format("{}{} {} {}\n", frame.has_original ? 'o' : '-', frame.has_seed ? 's' : '-',
                                frame.before.size(), frame.between.size());
  key.append(frame.before).append(frame.between).append(frame.after);
  auto& shared = frames_[std::move(key)];
  if (!shared) shared = std::make_shared<const SettingsText::Frame>(std::move(frame));
  return shared;
}

}  // namespace expunge::board
