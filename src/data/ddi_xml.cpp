// The XML of the DDI corpus: documents of sentences, which hold entities (with character offsets) and pairs.
#include <expat.h>

#include <algorithm>
#include <map>
#include <memory>

#include "core/error.hpp"
#include "data/labelled_texts.hpp"
#include "data/tokenizers/unicode.hpp"

namespace expunge::data {
namespace {

using Attributes = std::map<std::string, std::string>;

// [begin, end) in characters, one or more: "3-7;10-14".
using Spans = std::vector<std::pair<std::size_t, std::size_t>>;

struct Parser {
  std::string place;
  XML_Parser parser = nullptr;
  std::u32string sentence;
  std::map<std::string, Spans> entities;
  std::vector<DdiPair> pairs;
  std::string problem;

  // Handlers are called from C: problems are kept and the parser is stopped.
  void fail(const std::string& what) {
    if (problem.empty()) problem = fmt::format("{}:{}: {}", place, XML_GetCurrentLineNumber(parser), what);
    XML_StopParser(parser, XML_FALSE);
  }
};

std::u32string characters_of(const std::string& text) {
  std::u32string out;
  for (std::size_t at = 0; at < text.size();) out += static_cast<char32_t>(unicode::next(text, at));
  return out;
}

bool parse_spans(const std::string& text, std::size_t length, Spans& out) {
  for (std::size_t at = 0; at < text.size();) {
    std::size_t begin = 0, end = 0;
    int used = 0;
    if (std::sscanf(text.c_str() + at, "%zu-%zu%n", &begin, &end, &used) != 2 || begin > end || end >= length)
      return false;
    out.emplace_back(begin, end + 1);
    at += static_cast<std::size_t>(used);
    if (at < text.size() && text[at++] != ';') return false;
  }
  return !out.empty();
}

// The sentence with both mentions replaced, from first to last character of each.
std::string marked(const std::u32string& sentence, const Spans& first, const Spans& second) {
  const auto extent = [](const Spans& spans) { return std::pair{spans.front().first, spans.back().second}; };
  auto a = extent(first), b = extent(second);
  if (b.first < a.first) std::swap(a, b);
  struct Piece {
    std::size_t begin, end;
    const char* mark;
  };
  const bool overlap = b.first < a.second;
  std::vector<Piece> pieces{
      {a.first, overlap ? std::max(a.second, b.second) : a.second, overlap ? "@DRUG-DRUG$" : "@DRUG$"}};
  if (!overlap) pieces.push_back({b.first, b.second, "@DRUG$"});
  std::string out;
  std::size_t at = 0;
  const auto copy_to = [&](std::size_t end) {
    for (; at < end; ++at) {
      const char32_t c = sentence[at];
      const bool white = unicode::properties()[c] & unicode::kSpace;
      if (c == U'"')
        out += "''";
      else if (!white)
        unicode::append(out, c);
      else if (!out.empty() && out.back() != ' ')
        out += ' ';
    }
  };
  for (const auto& piece : pieces) {
    copy_to(piece.begin);
    out += piece.mark;
    at = piece.end;
  }
  copy_to(sentence.size());
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

void add_pair(Parser& parser, Attributes& attributes) {
  const auto first = parser.entities.find(attributes["e1"]), second = parser.entities.find(attributes["e2"]);
  if (first == parser.entities.end() || second == parser.entities.end())
    return parser.fail(fmt::format("pair {}: no such drug in its sentence", attributes["id"]));
  std::int64_t label = 0;
  if (attributes["ddi"] == "true") {
    // Three pairs of the published files are interactions without a type: "int" is the class of what is not
    // said further.
    const std::string name = "DDI-" + (attributes["type"].empty() ? std::string("int") : attributes["type"]);
    const auto& classes = ddi_classes();
    label = std::find(classes.begin(), classes.end(), name) - classes.begin();
    if (label == static_cast<std::int64_t>(classes.size()))
      return parser.fail(fmt::format("pair {}: unknown type \"{}\"", attributes["id"], attributes["type"]));
  } else if (attributes["ddi"] != "false") {
    return parser.fail(
        fmt::format("pair {}: ddi is \"{}\", expected true or false", attributes["id"], attributes["ddi"]));
  }
  parser.pairs.push_back({attributes["id"], marked(parser.sentence, first->second, second->second), label});
}

void on_start(void* data, const XML_Char* name, const XML_Char** values) {
  auto& parser = *static_cast<Parser*>(data);
  Attributes attributes;
  for (; values[0] && values[1]; values += 2) attributes[values[0]] = values[1];
  const std::string_view element = name;
  if (element == "sentence") {
    parser.sentence = characters_of(attributes["text"]);
    parser.entities.clear();
  } else if (element == "entity") {
    Spans spans;
    if (!parse_spans(attributes["charOffset"], parser.sentence.size(), spans))
      return parser.fail(fmt::format("entity {}: the offsets \"{}\" are not inside the sentence",
                                     attributes["id"], attributes["charOffset"]));
    parser.entities[attributes["id"]] = spans;
  } else if (element == "pair") {
    add_pair(parser, attributes);
  }
}

void on_document_type(void* data, const XML_Char*, const XML_Char*, const XML_Char*, int) {
  static_cast<Parser*>(data)->fail("a document type declaration is refused");
}

}  // namespace

std::vector<DdiPair> parse_ddi_xml(std::string_view xml, const std::string& place) {
  constexpr std::size_t kMostBytes = std::size_t{1} << 28;
  if (xml.size() > kMostBytes)
    throw DataError::corrupt(fmt::format("{}: larger than {} bytes", place, kMostBytes));
  const std::unique_ptr<XML_ParserStruct, void (*)(XML_Parser)> owner(XML_ParserCreate(nullptr),
                                                                      XML_ParserFree);
  Parser parser;
  parser.place = place;
  parser.parser = owner.get();
  EXPUNGE_CHECK(parser.parser, "expat gives no parser");
  XML_SetUserData(parser.parser, &parser);
  XML_SetElementHandler(parser.parser, on_start, nullptr);
  XML_SetStartDoctypeDeclHandler(parser.parser, on_document_type);
  const bool done =
      XML_Parse(parser.parser, xml.data(), static_cast<int>(xml.size()), XML_TRUE) == XML_STATUS_OK;
  if (!parser.problem.empty()) throw DataError::corrupt(parser.problem);
  if (!done)
    throw DataError::corrupt(fmt::format("{}:{}: not XML ({})", place,
                                         XML_GetCurrentLineNumber(parser.parser),
                                         XML_ErrorString(XML_GetErrorCode(parser.parser))));
  return std::move(parser.pairs);
}

}  // namespace expunge::data
