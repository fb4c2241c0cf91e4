// Sentences of film reviews (Pang and Lee 2005, sentence polarity v1.0): rt-polarity.{neg,pos}, one a line.
// Class 0 is negative, 1 positive. The last tenth of each file tests (data/labelled_texts.hpp).
#include "core/files.hpp"
#include "data/text_samples.hpp"

namespace expunge::data {
namespace rotten_tomatoes {

std::vector<fs::path> sources(const fs::path& root) {
  return {root / "rt-polarity.neg", root / "rt-polarity.pos"};
}

bool present(const fs::path& root) {
  std::error_code error;
  for (const auto& file : sources(root))
    if (!fs::exists(file, error)) return false;
  return true;
}

void measure(const fs::path& root, Info& info) {
  info.train_size = std::ssize(read_rotten_tomatoes(root, Side::kTrain));
  info.test_size = std::ssize(read_rotten_tomatoes(root, Side::kTest));
}

Raw read(const fs::path& root, Side side, Info& info) {
  return text_samples(read_rotten_tomatoes(root, side), info);
}

const RegisterReader entry{
    {.info = text_info({.name = "rotten_tomatoes",
                        .title = "Rotten Tomatoes sentences",
                        .source = "Pang and Lee, ACL 2005",
                        .licence = "none stated; cite the paper",
                        .files = "rt-polarity.neg and rt-polarity.pos",
                        .classes = 2,
                        .train_size = 9596,
                        .test_size = 1066,
                        .tokens = 64}),
     .folders = {"rotten_tomatoes/rt-polaritydata", "rt-polaritydata", "rotten_tomatoes"},
     .present = present,
     .sources = sources,
     .measure = measure,
     .read = read}};

}  // namespace rotten_tomatoes
}  // namespace expunge::data
