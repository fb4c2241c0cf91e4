// What an unlearning method declares, and how it registers. A method is one file: its options, its plan and
// its run.
//
// The file is compiled twice. The torch-free build (EXPUNGE_ENGINE not defined) keeps the descriptor, which
// is all that `check`, `list`, `plan` and `submit` need. The engine build defines EXPUNGE_ENGINE, adds `run`
// and registers it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "config/train_options.hpp"

namespace expunge {
class Context;  // engine/context.hpp
enum class Outcome { kFinished, kDiverged, kBudget };
}  // namespace expunge

namespace expunge::methods {

// Every method's options begin with these.
struct MethodOptions {
  config::TrainOptions train;
};

// Sizes a plan depends on; functions of the job alone.
struct Sizes {
  std::int64_t forget = 0, retain = 0, classes = 0, unseen = 0;  // classes: 0 where the task has none
  bool answers_are_inputs = false;  // another answer needs a pass of its own (language models)
};

// A stretch of work of a method, for pricing and for the learning-rate schedule.
struct Phase {
  std::string name;                  // "forget", "retain", "mask" ...
  std::int64_t steps = 0;            // optimiser steps (0 for one-shot passes)
  double forward = 0, backward = 0;  // student passes, in samples
  double teacher = 0;                // teacher forward passes, in samples (each teacher counts)
  bool scheduled = true;             // its steps train the student: the learning rate's schedule counts them
};

// Taxonomy of MU-Bench, Table 2: how knowledge is measured (loss, logit, output), how D_f is corrupted
// (gradient, data, model, none, or in words), what holds D_r (original, true labels, none, or in words),
// which parameters change (dense or sparse, internal or external to the network).
struct Taxonomy {
  std::string measure, corrupt, retain, parameters;
};

// What a method needs of a cell beyond images and labels; `check` refuses cells that lack it.
enum class Need {
  kLabels,           // a class label for every sample
  kTargets,          // right answers that outputs are distributions over: classes, or tokens
  kImages,           // inputs with pixels, to add noise to or to draw
  kUnseen,           // samples that nothing was trained on
  kWholeClasses,     // D_f made of whole classes
  kPreferredAnswer,  // another answer that is better than D_f's own: a refusal, another class
  kWholeEdges,       // D_f made of whole edges of a graph, and a model with the features "nodes.SITE"
  kPairs,            // image-caption pairs and a model with the features "image", "text" and "fused"
  kHead              // a linear classifier on pooled features
};

// The need in words, for `list`.
std::string describe(Need need);

struct Descriptor {
  std::string name;     // registered name = file name = TOML value = table row
  std::string summary;  // one line
  std::string source;   // paper
  // What it holds at once, at most, beside the student, its gradients and the optimiser's state: teachers,
  // helpers, masks, importances, each as long as all parameters. For the estimate of memory.
  double copies = 0;
  Taxonomy taxonomy;
  std::vector<Need> needs = {};
  std::vector<std::string> deviations = {};  // where it departs from its references, one line each
  bool noop_on_empty = false;                // leaves the model unchanged when D_f is empty
  bool noop_on_zero_lr = true;               // leaves parameters unchanged when lr = 0
  bool draws_nothing = false;                // no random number: the seed only changes the order of additions
  bool stops_early = false;                  // it may take fewer steps than its plan says
  // Wrappers it does not go with, and why: "fusion", "lora", "superloss".
  std::map<std::string, std::string> refuses = {};
  bool from_scratch = false;  // starts from a new initialisation, not from the original (retrain)
  // Reads the options (recording docs and problems) and says what the method would do with them.
  std::function<std::vector<Phase>(config::Reader&, const Sizes&)> plan = {};
};

// Torch-free registry, sorted by name.
const std::vector<const Descriptor*>& descriptors();
const Descriptor* find_descriptor(const std::string& name);
std::vector<std::string> descriptor_names();

// Steps of one pass over n samples with global batch b (the last short batch is used).
inline std::int64_t steps_of(std::int64_t n, std::int64_t batch) { return (n + batch - 1) / batch; }

struct RegisterDescriptor {
  explicit RegisterDescriptor(Descriptor descriptor);
};

// Engine side: reads the resolved options and runs.
using Runner = std::function<Outcome(config::Reader&, Context&)>;
struct RegisterRunner {
  RegisterRunner(std::string name, Runner runner, std::function<config::TrainOptions(config::Reader&)> train);
};

}  // namespace expunge::methods

// Ends a method file. `read`: Options(config::Reader&); `plan`: std::vector<Phase>(const Options&, const
// Sizes&); `run`: Outcome(const Options&, Context&), compiled only into the engine: define it inside #ifdef
// EXPUNGE_ENGINE.
#ifdef EXPUNGE_ENGINE
#define EXPUNGE_METHOD(descriptor, read, plan, run)                                                          \
  static_assert(                                                                                             \
      std::is_invocable_v<decltype(plan), const decltype(read(std::declval<::expunge::config::Reader&>()))&, \
                          const ::expunge::methods::Sizes&>);                                                \
  const ::expunge::methods::RegisterRunner entry{                                                            \
      (descriptor).name,                                                                                     \
      [](::expunge::config::Reader& in, ::expunge::Context& ctx) { return run(read(in), ctx); },             \
      [](::expunge::config::Reader& in) { return read(in).train; }};
#else
#define EXPUNGE_METHOD(descriptor, read, plan_function, run)                             \
  const ::expunge::methods::RegisterDescriptor entry{[] {                                \
    ::expunge::methods::Descriptor d = descriptor;                                       \
    d.plan = [](::expunge::config::Reader& in, const ::expunge::methods::Sizes& sizes) { \
      return plan_function(read(in), sizes);                                             \
    };                                                                                   \
    return d;                                                                            \
  }()};
#endif
