// Deletion requests that arrive one after another: a method's program runs once for each, on the part of D_f
// that has arrived and the D_r that is left, from the parameters that the request before left behind.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "engine/setup.hpp"

namespace expunge {

// One request. Its keyed draws are its own (request 0 has the run's seed).
struct Request {
  std::vector<std::int64_t> forget,
      retain;              // sample ids, ascending: this part of D_f, what is left of D_train
  std::int64_t steps = 0;  // planned, for the schedule
};

// D_train without what has arrived so far, request by request.
std::vector<Request> make_requests(const std::vector<std::vector<std::int64_t>>& parts,
                                   const std::vector<std::int64_t>& train);

// Shares of correct answers after a request; NaN where they were not measured.
struct Measured {
  double forget, part, retain, test;  // forget: of all parts so far
};

struct RequestHooks {
  std::function<Outcome(Context&)> program;
  // Before request j: what the setup needs beside its samples (a graph). `fresh`: its parameters are those of
  // the request before, not a checkpoint's.
  std::function<void(std::size_t j, Context::Setup& setup, bool fresh)> prepare =
      [](std::size_t, Context::Setup&, bool) {};
  std::function<Measured(std::size_t j)> measure;  // after request j; collective
};

// requests, steps, FLOPs and seconds of each; accuracies afterwards; how far the parameters are (L2) from
// where the run and the request started.
inline const std::vector<std::string> kRequestColumns = {
    "request",         "forget",        "retain",          "steps",         "flops",      "seconds",
    "forget_accuracy", "part_accuracy", "retain_accuracy", "test_accuracy", "from_start", "from_before"};

struct RequestsRun {
  std::string status = "ok", text;  // as in a store
  RunReport report;                 // of all requests
  std::vector<double> table;        // rows of kRequestColumns
};

// Collective. `setup`: of the run, with the student's starting parameters and, perhaps, a checkpoint that was
// saved during any of the requests. Throws Interrupted after a checkpoint that a signal asked for.
// Checkpoints carry what a request started from; a resumed run has the bits of an undisturbed one.
RequestsRun run_requests(Context::Setup setup, const std::vector<Request>& requests,
                         const RequestHooks& hooks);

}  // namespace expunge
