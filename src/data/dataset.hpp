// Data sets as the engine sees them: decoded once into a packed cache, checksummed, memory-mapped and
// shared by the ranks of a node. Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace expunge::config {
class Reader;
}

namespace expunge::data {

enum class Side { kTrain, kTest };

// Known without opening files, except for generic folders, where `sizes` and `classes` come from the scan (0
// until then).
struct Info {
  std::string name, title, source, licence,
      files;                            // files: what the reader expects under its root, for messages
  std::string task = "classification";  // or causal_lm
  std::int64_t classes = 0, channels = 0, height = 0, width = 0, train_size = 0, test_size = 0;
  std::vector<double> mean = {}, deviation = {};  // per channel, of pixels scaled to [0, 1]
  // Image-caption pairs: token ids of a caption (0 = padding) and their bound; 0 for images alone. Text
  // alone: the same of a whole text, channels 0, height 1, width = tokens.
  std::int64_t tokens = 0, vocabulary = 0;
  // Of the graph whose edges the samples are (tokens: of the sentence that an edge is read from); 0: no
  // graph.
  std::int64_t nodes = 0;
  std::vector<std::string> units = {};  // of deletion, beside samples and classes: image, image_pair, edge
  std::string corruption = {};          // of the test images (data/corruption.hpp), or ""
  std::string deletion_list = {};       // name of the published list in data/deletion_lists, or ""
  // Of texts with classes: what makes tokens of them (data/text_samples.hpp), and the names of a table's
  // columns where they are not the usual ones.
  std::string tokenizer = {}, text_column = {}, second_column = {}, label_column = {};

  bool text_alone() const { return channels == 0 && tokens > 0 && nodes == 0; }
  bool pairs() const { return channels > 0 && tokens > 0; }
  bool classified_text() const { return text_alone() && task == "classification"; }
  std::int64_t token_bytes() const { return text_alone() && vocabulary > 65536 ? 4 : 2; }
  // Of the task's outputs. `classes` also counts groups that are only deleted by (TOFU's authors).
  std::int64_t task_classes() const { return task == "classification" ? classes : 0; }
};

// Bytes of a sample: its pixels [C, H, W]; in pairs followed by the caption's tokens, 16 bits each, the
// number of the image on this side and that of the image which the caption was written for, 32 bits each,
// little endian. An edge of a graph has no pixels, its sentence's tokens, and the numbers of its two nodes.
// Text alone: its tokens, 16 bits each (32 where the vocabulary needs them), how many they are and how many
// of them are the prompt or, of two texts with a class, the first; 32 bits each.
inline std::int64_t sample_bytes(const Info& info) {
  return info.channels * info.height * info.width +
         (info.tokens > 0 ? info.token_bytes() * info.tokens + 8 : 0);
}

// Decoded samples of one side, as a reader delivers them: sample_bytes each, and labels [n].
struct Raw {
  std::vector<std::uint8_t> pixels;
  std::vector<std::int64_t> labels;
};

// A reader: one file in data/readers. `read` decodes one side from `root` (DataError 65/66 with the file's
// name). A channel count or an image size that `info` leaves 0 is taken from the first image; `classes` is
// set by the train side, which is read first.
struct Reader {
  Info info;
  std::vector<std::string>
      folders;  // where it may lie under a data root; empty for generic readers: the data set's name
  std::function<bool(const std::filesystem::path& root)> present;
  std::function<std::vector<std::filesystem::path>(const std::filesystem::path& root)>
      sources;  // files it reads; the cache depends on them
  std::function<void(const std::filesystem::path& root, Info& info)>
      measure;  // sizes and classes from names, file sizes and headers
  std::function<Raw(const std::filesystem::path& root, Side side, Info& info)> read;
};
const std::vector<const Reader*>& readers();  // sorted by name
const Reader* find_reader(const std::string& name);
std::vector<std::string> reader_names();
struct RegisterReader {
  explicit RegisterReader(Reader reader);
};

// An opened data set. Sample ids are positions in the reader's order.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual const Info& info() const = 0;
  virtual std::int64_t size(Side side) const = 0;
  virtual const std::uint8_t* pixels(Side side, std::int64_t id) const = 0;  // [C, H, W]; then what pairs add
  virtual std::int64_t label(Side side, std::int64_t id) const = 0;
  virtual const std::string& checksum() const = 0;  // XXH3-128 of pixels and labels of both sides
};

// The caption of a pair, [tokens] ids; the image it stands with; the image it was written for. Of an
// edge: its sentence, its first node, its second node.
void read_caption(const Dataset& dataset, Side side, std::int64_t id, std::int64_t* tokens);
std::int64_t image_of(const Dataset& dataset, Side side, std::int64_t id);
std::int64_t captioned_image(const Dataset& dataset, Side side, std::int64_t id);

// Roots searched, in order: $EXPUNGE_DATA_ROOT (colon-separated), the download folder of `expunge data
// fetch`, the distribution's folders, the project's data/ folder. `path` of the job's [dataset.NAME] replaces
// them all.
std::vector<std::filesystem::path> data_roots();
std::filesystem::path cache_folder();  // $EXPUNGE_CACHE, else $XDG_CACHE_HOME/expunge, else ~/.cache/expunge
std::filesystem::path fetch_folder();  // cache_folder()/data
std::filesystem::path project_folder();  // data/ of the project: beside the binary's build folder, else of
                                         // the source tree it was built from

// Reads a job's [dataset.NAME]: path, reader, channels, tokens, tokenizer, columns, mean, deviation,
// corruption. Returns what was written, as `options` below; `path` is where, not what: leave it out of a
// cell's id.
nlohmann::json read_dataset_options(config::Reader& in);

// The data set's Info with the sizes of the files that are there (a subset may lack batches), from headers
// and file sizes; the reader's constants where no files are found. ConfigError for an unknown name or reader.
Info describe(const std::string& name, const nlohmann::json& options = {});

// Opens `name`, packing it first where the cache lacks it (one process packs, others use its file; without a
// writable cache it is decoded into memory). `options`: the job's [dataset.NAME] keys. DataError 66 names
// every place looked at.
std::shared_ptr<const Dataset> open(const std::string& name, const nlohmann::json& options = {});

// True when the files are there, with their folder in `where`; else `where` says what was looked for. Decodes
// nothing.
bool available(const std::string& name, const nlohmann::json& options, std::string& where);

}  // namespace expunge::data
