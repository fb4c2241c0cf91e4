#include "data/tokenizers/sentence_piece_file.hpp"

#include <cstring>

#include "core/error.hpp"
#include "data/tokenizers/vocabulary_file.hpp"

namespace expunge::data {
namespace {

// Protocol buffer wire format: a varint key (field number << 3 | wire type), then the value.
class Message {
 public:
  Message(std::string_view bytes, const std::string& place) : rest_(bytes), place_(place) {}

  // The next field; false at the end.
  bool next() {
    if (rest_.empty()) return false;
    const std::uint64_t key = varint();
    field = static_cast<int>(key >> 3 & 0xFFFF);
    number = 0;
    text = {};
    switch (key & 7) {
      case 0:
        number = varint();
        break;
      case 1:
        text = take(8);
        break;
      case 2:
        text = take(varint());
        break;
      case 5:
        text = take(4);
        break;
      default:
        fail("an unknown wire type");
    }
    return true;
  }
  float real() const {
    float out = 0;
    if (text.size() != 4) fail("a score that is no float");
    std::memcpy(&out, text.data(), 4);
    return out;
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw DataError::corrupt(fmt::format("{}: not a SentencePiece model: {}", place_, what));
  }

  int field = 0;
  std::uint64_t number = 0;  // wire type 0
  std::string_view text;     // the others

 private:
  std::uint64_t varint() {
    std::uint64_t out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) fail("cut short");
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      out |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return out;
    }
    fail("a number of more than 64 bits");
  }
  std::string_view take(std::uint64_t length) {
    if (length > rest_.size()) fail("cut short");
    const auto out = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return out;
  }

  std::string_view rest_;
  const std::string& place_;
};

using Type = SentencePieceFile::Type;

void read_piece(Message message, SentencePieceFile& out) {
  std::string piece;
  double score = 0;
  auto type = Type::kNormal;
  while (message.next()) {
    if (message.field == 1) piece = message.text;
    if (message.field == 2) score = message.real();
    if (message.field == 3) {
      if (message.number < 1 || message.number > 6)
        message.fail(fmt::format("type {} of piece {}", message.number, out.pieces.size()));
      type = static_cast<Type>(message.number);
    }
  }
  mend(piece);
  out.pieces.push_back(std::move(piece));
  out.scores.push_back(score);
  out.types.push_back(type);
}

void read_trainer(Message message, SentencePieceFile& out) {
  while (message.next()) {
    if (message.field == 3) {
      if (message.number < 1 || message.number > 4)
        message.fail(fmt::format("model type {}", message.number));
      out.algorithm = static_cast<SentencePieceFile::Algorithm>(message.number);
    }
    if (message.field == 35) out.byte_fallback = message.number != 0;
  }
}

void read_normalizer(Message message, SentencePieceFile& out) {
  while (message.next()) {
    if (message.field == 2) out.charsmap = message.text;
    if (message.field == 3) out.dummy_prefix = message.number != 0;
  }
}

}  // namespace

SentencePieceFile parse_sentence_piece(std::string_view bytes, const std::string& place) {
  SentencePieceFile out;
  Message message(bytes, place);
  while (message.next()) {
    if (message.field == 1) read_piece({message.text, place}, out);
    if (message.field == 2) read_trainer({message.text, place}, out);
    if (message.field == 3) read_normalizer({message.text, place}, out);
  }
  if (out.pieces.empty()) message.fail("no pieces");
  return out;
}

}  // namespace expunge::data
