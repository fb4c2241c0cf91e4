// DDI-2013 (Herrero-Zazo et al. 2013): which interaction a sentence states between two drugs, both marked
// @DRUG$. From the three-column files of BLUE and BLURB ({train,test}.tsv; dev.tsv is left to its owners), or
// from the corpus's XML, whose training side has their development pairs, too. Class 0 is "no interaction":
// the metric f1 leaves it out.
#include "core/files.hpp"
#include "data/text_samples.hpp"

namespace expunge::data {
namespace ddi {

bool present(const fs::path& root) {
  std::error_code error;
  return (fs::exists(root / "train.tsv", error) && fs::exists(root / "test.tsv", error)) ||
         (fs::is_directory(root / "Train", error) && fs::is_directory(root / "Test", error));
}

std::vector<fs::path> sources(const fs::path& root) {
  auto out = ddi_files(root, Side::kTrain);
  for (auto& file : ddi_files(root, Side::kTest)) out.push_back(std::move(file));
  return out;
}

void measure(const fs::path& root, Info& info) {
  info.train_size = std::ssize(read_ddi(root, Side::kTrain));
  info.test_size = std::ssize(read_ddi(root, Side::kTest));
}

Raw read(const fs::path& root, Side side, Info& info) { return text_samples(read_ddi(root, side), info); }

const RegisterReader entry{{.info = text_info({.name = "ddi",
                                               .title = "DDI-2013 drug interactions",
                                               .source = "Herrero-Zazo et al., J. Biomed. Inform. 2013",
                                               .licence = "CC BY-NC 4.0",
                                               .files = "{train,test}.tsv, or the corpus's Train/ and Test/",
                                               .classes = 5,
                                               .train_size = 25296,
                                               .test_size = 5716,
                                               .deletion_list = "ddi"}),
                            .folders = {"ddi2013", "ddi", "ddi2013/DDICorpus", "DDICorpus"},
                            .present = present,
                            .sources = sources,
                            .measure = measure,
                            .read = read}};

}  // namespace ddi
}  // namespace expunge::data
