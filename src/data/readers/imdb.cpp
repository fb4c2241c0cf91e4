// IMDB's film reviews (Maas et al. 2011): {train,test}/{neg,pos}/ID_STARS.txt. Class 0 is negative, 1
// positive; neg before pos, each by ID. Unlabelled reviews are not read. The deletion list published with
// MU-Bench counts the reviews in another order, so it is not offered.
#include <array>

#include "core/files.hpp"
#include "data/text_samples.hpp"

namespace expunge::data {
namespace imdb {

bool present(const fs::path& root) {
  std::error_code error;
  for (const char* folder : {"train/neg", "train/pos", "test/neg", "test/pos"})
    if (!fs::is_directory(root / folder, error)) return false;
  return true;
}

std::vector<fs::path> sources(const fs::path& root) {
  auto out = imdb_files(root, Side::kTrain);
  for (auto& file : imdb_files(root, Side::kTest)) out.push_back(std::move(file));
  return out;
}

void measure(const fs::path& root, Info& info) {
  info.train_size = std::ssize(imdb_files(root, Side::kTrain));
  info.test_size = std::ssize(imdb_files(root, Side::kTest));
}

Raw read(const fs::path& root, Side side, Info& info) { return text_samples(read_imdb(root, side), info); }

const RegisterReader entry{{.info = text_info({.name = "imdb",
                                               .title = "IMDB film reviews",
                                               .source = "Maas et al., ACL 2011",
                                               .licence = "none stated; cite the paper",
                                               .files = "{train,test}/{neg,pos}/ID_STARS.txt",
                                               .classes = 2,
                                               .train_size = 25000,
                                               .test_size = 25000,
                                               .tokens = 256}),
                            .folders = {"imdb/aclImdb", "aclImdb", "imdb"},
                            .present = present,
                            .sources = sources,
                            .measure = measure,
                            .read = read}};

}  // namespace imdb
}  // namespace expunge::data
