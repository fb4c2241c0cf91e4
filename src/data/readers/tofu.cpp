// TOFU (Maini et al. 2024): questions about 200 invented authors, 20 an author, with answers. Training:
// retain90 followed by forget10, 4,000 pairs; test: questions about real authors and about the world. A
// sample's label is its author's number, so that data.unit = "class" forgets whole authors. Published forget
// sets: forget10 are the last 400 samples, forget05 the last 200, forget01 the last 40. Copies that hold
// fewer pairs are accepted.
#include <algorithm>
#include <sstream>

#include "core/error.hpp"
#include "core/files.hpp"
#include "data/byte_text.hpp"

namespace expunge::data {
namespace tofu {

constexpr std::int64_t kPairsOfAnAuthor = 20;

std::vector<fs::path> files_of(const fs::path& root, Side side) {
  return side == Side::kTrain ? std::vector<fs::path>{root / "retain90.json", root / "forget10.json"}
                              : std::vector<fs::path>{root / "real_authors_perturbed.json",
                                                      root / "world_facts_perturbed.json"};
}

// The lines of a file that hold a pair.
std::vector<std::pair<std::int64_t, std::string>> lines_of(const fs::path& file) {
  std::vector<std::pair<std::int64_t, std::string>> out;
  std::istringstream text(read_file(file));
  std::string line;
  for (std::int64_t number = 1; std::getline(text, line); ++number)
    if (line.find('{') != std::string::npos) out.emplace_back(number, line);
  return out;
}

TextSample pair_of(const fs::path& file, std::int64_t number, const std::string& line) {
  try {
    const auto json = nlohmann::json::parse(line);
    return question_and_answer(json.at("question").get<std::string>(), json.at("answer").get<std::string>());
  } catch (const nlohmann::json::exception&) {
    throw DataError::corrupt(fmt::format(
        "{}:{}: expected one object with the texts \"question\" and \"answer\"", file.string(), number));
  }
}

bool present(const fs::path& root) {
  return std::ranges::all_of(std::vector{Side::kTrain, Side::kTest}, [&](Side side) {
    return std::ranges::all_of(files_of(root, side), [](const fs::path& file) { return fs::exists(file); });
  });
}

std::vector<fs::path> sources(const fs::path& root) {
  auto out = files_of(root, Side::kTrain);
  for (auto& file : files_of(root, Side::kTest)) out.push_back(file);
  return out;
}

void measure(const fs::path& root, Info& info) {
  for (const Side side : {Side::kTrain, Side::kTest}) {
    std::int64_t pairs = 0;
    for (const auto& file : files_of(root, side)) pairs += std::ssize(lines_of(file));
    (side == Side::kTrain ? info.train_size : info.test_size) = pairs;
  }
  info.classes = (info.train_size + kPairsOfAnAuthor - 1) / kPairsOfAnAuthor;
}

Raw read(const fs::path& root, Side side, Info& info) {
  Raw out;
  for (const auto& file : files_of(root, side))
    for (const auto& [number, line] : lines_of(file)) {
      append_text(info, pair_of(file, number, line), out.pixels);
      const std::int64_t author = std::ssize(out.labels) / kPairsOfAnAuthor;
      out.labels.push_back(side == Side::kTrain ? author : 0);
    }
  if (out.labels.empty())
    throw DataError::corrupt(fmt::format("{}: no question-answer pairs", root.string()));
  if (side == Side::kTrain) info.classes = out.labels.back() + 1;
  return out;
}

const RegisterReader entry{{.info = {.name = "tofu",
                                     .title = "TOFU question-answer pairs",
                                     .source = "Maini et al., COLM 2024",
                                     .licence = "MIT",
                                     .files = "retain90.json, forget10.json, real_authors_perturbed.json and "
                                              "world_facts_perturbed.json",
                                     .task = "causal_lm",
                                     .classes = 200,
                                     .height = 1,
                                     .width = 512,
                                     .train_size = 4000,
                                     .test_size = 217,
                                     .tokens = 512,
                                     .vocabulary = kByteVocabulary,
                                     .deletion_list = "tofu"},
                            .folders = {"tofu", "TOFU"},
                            .present = present,
                            .sources = sources,
                            .measure = measure,
                            .read = read}};

}  // namespace tofu
}  // namespace expunge::data
