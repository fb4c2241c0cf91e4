// Texts with classes, as the text readers read them from published files; tokenised later, once, into the
// packed cache.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.hpp"

namespace expunge::data {

struct LabelledText {
  std::string text, second;  // second: of a pair of texts, else empty
  std::int64_t label = 0;
};

// --- published layouts; each throws DataError 65/66 with file and line
// -------------------------------------------

// ROOT/{train,test}/{neg,pos}/ID_STARS.txt (Maas et al. 2011): neg = 0, pos = 1; within a class by ID, then
// name. `<br />` stays: it is part of the text.
std::vector<LabelledText> read_imdb(const std::filesystem::path& root, Side side);
std::vector<std::filesystem::path> imdb_files(const std::filesystem::path& root, Side side);

// ROOT/rt-polarity.{neg,pos} (Pang and Lee 2005), a sentence a line: neg = 0, pos = 1. The authors
// split nothing; as in the Hugging Face data set of that name the last tenth of each file is the test side
// (its validation tenth is part of train here). Files in Latin-1, as first published, become UTF-8.
std::vector<LabelledText> read_rotten_tomatoes(const std::filesystem::path& root, Side side);

// DDI-2013 (Herrero-Zazo et al. 2013): the classes.
inline const std::vector<std::string>& ddi_classes() {
  static const std::vector<std::string> names{"DDI-false", "DDI-mechanism", "DDI-advise", "DDI-effect",
                                              "DDI-int"};
  return names;
}
struct DdiPair {
  std::string id, text;  // the sentence with both drugs as @DRUG$
  std::int64_t label = 0;
};
// The pairs of one XML document in its order. Mentions of a pair that overlap become one @DRUG-DRUG$; a
// double quote becomes two single ones, and white space one space, as in the three-column files of BLUE and
// BLURB. DataError 65: no XML, a document type declaration (so no entities can be defined), offsets outside
// the sentence, unknown drugs or types.
std::vector<DdiPair> parse_ddi_xml(std::string_view xml, const std::string& place);
// The three-column files: pair id, sentence, class.
std::vector<DdiPair> read_ddi_table(const std::filesystem::path& tsv);
// ROOT/{train,test}.tsv, else the XML files below ROOT/Train and ROOT/Test, by name.
std::vector<LabelledText> read_ddi(const std::filesystem::path& root, Side side);
std::vector<std::filesystem::path> ddi_files(const std::filesystem::path& root, Side side);

// --- files of one's own
// ------------------------------------------------------------------------------------------

// Names of a table's columns; empty: "text" or "sentence" or "sentence1"; "text2" or "sentence2", where there
// is one; "label".
struct TextColumns {
  std::string text = {}, second = {}, label = {};
};

// A table of comma- or tab-separated values (RFC 4180: quoted fields may hold separators, line ends and
// doubled quotes) with a heading, or an object a line (.jsonl, .json). A label is a whole number from 0 on, a
// truth value (in JSON) or a name. An empty `classes` is filled: numbers up to the largest, names in
// alphabetical order; else labels must be among them, up to the case of letters. A byte order mark is passed
// over, a text may be empty. DataError 65 with file and line: a column that is not there, no label, a text
// that is not UTF-8.
std::vector<LabelledText> read_text_table(const std::filesystem::path& file,
                                          std::vector<std::string>& classes, const TextColumns& columns = {});

}  // namespace expunge::data
