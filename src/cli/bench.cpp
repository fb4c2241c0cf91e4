// `expunge bench step|allreduce|store|selection|tokenize|images`: measures parts of the program; step and
// allreduce under mpirun with that many ranks.
#include "cli/bench_reading.hpp"
#include "cli/bench_selection.hpp"
#include "cli/bench_store.hpp"
#include "cli/commands.hpp"
#include "cli/engine_entry.hpp"
#include "core/error.hpp"
#include "core/text.hpp"

namespace expunge::cli {
namespace bench_command {

// "4K,1M,100M": bytes, in powers of 1,024.
std::vector<std::int64_t> read_sizes(const std::string& text) {
  std::vector<std::int64_t> out;
  for (const auto& word : split(text, ',')) {
    std::size_t digits = 0;
    while (digits < word.size() && word[digits] >= '0' && word[digits] <= '9') ++digits;
    const std::string unit = word.substr(digits);
    const auto factor = unit.empty() || unit == "B" ? 1
                        : unit == "K"               ? 1 << 10
                        : unit == "M"               ? 1 << 20
                        : unit == "G"               ? 1 << 30
                                                    : 0;
    if (digits == 0 || digits > 9 || factor == 0 || std::stoll(word.substr(0, digits)) == 0)
      throw UsageError("--sizes: \"" + word + "\" is no size; expected such as 4K,1M,100M");
    out.push_back(std::stoll(word.substr(0, digits)) * factor);
  }
  return out;
}

int run(Args& args) {
  nlohmann::json request;
  request["model"] = args.option("--model", "NAME", "resnet20", "step: model");
  request["config"] =
      args.option("--config", "FILE", "", "step: a config.json instead of a registered model");
  request["precision"] = args.option("--precision", "fp32|bf16|tf32", "fp32", "step: of matrix products");
  request["device"] =
      args.option("--device", "auto|cpu|cuda", "auto", "step: auto: GPUs where a driver answers");
  request["cuda_graphs"] = args.flag("--cuda-graphs", "step: on a GPU, capture passes of the model");
  request["threads"] = args.integer("--threads", "N", 1, 1, "step: threads of a rank");
  request["warm"] = args.integer("--warm", "N", 5, 1, "step: steps of a round before the measured ones");
  request["no_bare"] = args.flag("--no-bare", "step: leave the bare LibTorch loop out");
  request["json"] = args.flag("--json", "step: print a line of JSON");
  request["channels"] = args.integer("--channels", "N", 3, 1, "step: image channels");
  request["size"] =
      args.integer("--size", "N", 32, 1, "step, images: height and width, pixels; texts: tokens");
  request["classes"] = args.integer("--classes", "N", 10, 2, "step: classes");
  request["batch"] = args.integer("--batch", "N", 128, 1, "step: global batch, samples");
  request["grain"] = args.integer("--grain", "N", 0, 0, "step: samples of a grain; 0 = the default rule");
  request["method"] = args.option("--method", "NAME", "",
                                  "step: methods (all, or names with commas) against plain fine-tuning");
  request["tokens"] =
      args.integer("--tokens", "N", 128, 2, "step --method: tokens of a text, for models that read text");
  request["steps"] = args.integer("--steps", "N", 20, 1, "step: measured steps of a round");
  const auto sizes = args.option("--sizes", "LIST", "4K,64K,1M,10M,100M", "allreduce: sizes of the vector");
  const auto count = args.integer("--count", "N", 10000, 1, "store: stores to publish and merge");
  const auto job = args.option("--job", "FILE", "", "store: the cells of this job, instead of made-up ones");
  const bool summaries =
      args.flag("--summaries", "store: stores without their HDF5 part, a seventh of the size");
  const auto units = args.integer("--units", "N", 27560, 2, "selection: units to choose from (ResNet-50's)");
  const auto perturbations =
      args.integer("--perturbations", "N", 1000, 2, "selection: perturbed copies that tell units apart");
  const auto most = args.integer("--choose", "N", 2, 1, "selection: units to choose");
  const auto folder = args.option("--out", "DIR", ".", "store: where they are written, and removed again");
  const bool keep = args.flag("--keep", "store: publish only, and leave the stores there");
  const auto tokenizer = args.option("--tokenizer", "DIR", "", "tokenize: a Hugging Face folder");
  const auto texts = args.option("--texts", "FILE", "", "tokenize: a text a line");
  const auto longest = args.integer("--longest", "N", 0, 0, "tokenize: tokens a text is cut at; 0 = whole");
  const auto images = args.option("--images", "DIR", "", "images: a folder of PNG and JPEG files");
  const auto rounds =
      args.integer("--rounds", "N", 3, 1, "step: rounds; tokenize, images: passes, of which the best counts");
  request["rounds"] = rounds;
  const auto what =
      args.positionals("step|allreduce|store|selection|tokenize|images", 1, 1, "what to measure").front();
  args.finish();
  if (what == "store") return bench_store({folder, count, job, summaries}, keep);
  if (what == "selection") return bench_selection(units, perturbations, most);
  if (what == "tokenize") {
    if (tokenizer.empty() || texts.empty())
      throw UsageError("bench tokenize needs --tokenizer DIR and --texts FILE");
    return bench_tokenize(tokenizer, texts, longest, rounds);
  }
  if (what == "images") {
    if (images.empty()) throw UsageError("bench images needs --images DIR");
    return bench_images(images, request["size"].get<std::int64_t>(), rounds);
  }
  if (what != "step" && what != "allreduce")
    throw UsageError("bench: unknown \"" + what + "\"" +
                     did_you_mean(what, {"step", "allreduce", "store", "selection", "tokenize", "images"}));
  if (what == "allreduce") request["sizes"] = read_sizes(sizes);
  return run_engine("bench-" + what, request);
}

const RegisterCommand entry{
    "bench",
    "measure a training step, the ordered reduction, publishing and merging stores, or reading samples", run};

}  // namespace bench_command
}  // namespace expunge::cli
