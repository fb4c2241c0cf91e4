// PGR (Sousa, Lamurias and Couto 2019): relations of genes and human phenotypes as edges of a graph. A sample
// is a sentence that names a gene and a phenotype: the edge that joins them, with the sentence's hashed
// words, and label 1 where they are related. A pair of nodes may have several sentences. Genes come first
// among the nodes, then phenotypes, each in the order of their identifiers over both sides.
#include <set>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"
#include "data/caption.hpp"
#include "data/dataset.hpp"

namespace expunge::data {
namespace pgr {

const char* file_of(Side side) { return side == Side::kTrain ? "train.tsv" : "test.tsv"; }

struct Mention {
  std::string sentence, gene, phenotype;
  bool related;
};

// FILE_ID SENTENCE GENE PHENOTYPE GENE_ID PHENOTYPE_ID, four positions, RELATION; one more in the test file.
enum Column { kSentence = 1, kGene = 4, kPhenotype = 5, kRelation = 10, kColumns = 11 };

std::vector<Mention> mentions_of(const fs::path& root, Side side) {
  const fs::path file = root / file_of(side);
  std::vector<Mention> out;
  std::int64_t number = 0;
  for (auto line : split(read_file(file), '\n')) {
    ++number;
    while (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    const auto fields = split(line, '\t');
    const auto broken = [&](const std::string& what) {
      return DataError::corrupt(fmt::format("{}:{}: {}", file.string(), number, what));
    };
    if (fields.size() < kColumns)
      throw broken(fmt::format("expected {} columns separated by tabs, found {}", +kColumns, fields.size()));
    if (number == 1 && fields[0] == "FILE_ID") continue;
    const std::string& relation = fields[kRelation];  // both spellings occur
    const bool related = relation == "True" || relation == "TRUE";
    if (!related && relation != "False" && relation != "FALSE")
      throw broken(fmt::format("RELATION is \"{}\", expected True or False", relation));
    if (fields[kGene].empty() || fields[kPhenotype].empty()) throw broken("no GENE_ID or no PHENOTYPE_ID");
    out.push_back({fields[kSentence], fields[kGene], fields[kPhenotype], related});
  }
  return out;
}

// The number of each node.
struct Nodes {
  std::map<std::string, std::int64_t> genes, phenotypes;
  std::int64_t count = 0;
};

Nodes nodes_of(const fs::path& root) {
  Nodes out;
  for (const Side side : {Side::kTrain, Side::kTest})
    for (const auto& mention : mentions_of(root, side))
      out.genes[mention.gene] = out.phenotypes[mention.phenotype] = 0;
  for (auto* kind : {&out.genes, &out.phenotypes})
    for (auto& [id, node] : *kind) node = out.count++;
  return out;
}

bool present(const fs::path& root) {
  return fs::exists(root / file_of(Side::kTrain)) && fs::exists(root / file_of(Side::kTest));
}

std::vector<fs::path> sources(const fs::path& root) {
  return {root / file_of(Side::kTrain), root / file_of(Side::kTest)};
}

void measure(const fs::path& root, Info& info) {
  info.train_size = static_cast<std::int64_t>(mentions_of(root, Side::kTrain).size());
  info.test_size = static_cast<std::int64_t>(mentions_of(root, Side::kTest).size());
  info.nodes = nodes_of(root).count;
}

Raw read(const fs::path& root, Side side, Info& info) {
  const Nodes nodes = nodes_of(root);
  Raw out;
  for (const auto& mention : mentions_of(root, side)) {
    append_pair(info, {}, hash_words(mention.sentence, info.tokens, info.vocabulary),
                nodes.genes.at(mention.gene), nodes.phenotypes.at(mention.phenotype), out.pixels);
    out.labels.push_back(mention.related ? 1 : 0);
  }
  return out;
}

const RegisterReader entry{
    {.info = {.name = "pgr",
              .title = "PGR, relations of genes and phenotypes",
              .source = "Sousa, Lamurias and Couto, NAACL 2019 (release of 2018-12-10)",
              .licence = "Apache-2.0",
              .files = "train.tsv and test.tsv",
              .classes = 2,
              .train_size = 4083,
              .test_size = 219,
              .tokens = 64,
              .vocabulary = 512,
              .nodes = 1967,
              .units = {"edge"},
              .deletion_list = ""},
     .folders = {"pgr", "pgr/10_12_2018_corpus", "PGR-corpus/10_12_2018_corpus"},
     .present = present,
     .sources = sources,
     .measure = measure,
     .read = read}};

}  // namespace pgr
}  // namespace expunge::data
