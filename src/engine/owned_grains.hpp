// What the passes over a step's grains share: a rank runs the grains it owns, and an error on one rank
// becomes an error of all.
#pragma once

#include "core/error.hpp"
#include "engine/context_impl.hpp"

namespace expunge {

inline constexpr int kFailed = 4;  // poll bit: a grain of this rank failed

// Runs `body` for the grains that this rank owns; the first error ends the work, not the rank.
template <class Body>
Failure run_owned(std::int64_t first, std::int64_t last, const Body& body) {
  Failure failure;
  bool internal = false;
  for (std::int64_t g = first; g < last && failure.problem.empty(); ++g) {
    try {
      body(g);
    } catch (const CommError&) {
      throw;
    } catch (const Error& error) {
      failure = {error.what(), error.exit_code()};
      internal = dynamic_cast<const InternalError*>(&error) != nullptr;
    } catch (const c10::Error& error) {
      failure.problem = error.what_without_backtrace();
    } catch (const std::exception& error) {
      failure.problem = error.what();
    }
  }
  if (internal) throw InternalError(failure.problem);
  return failure;
}

// Mask [n] of the samples of a grain that a term is about; undefined: all.
inline torch::Tensor wanted_by(const Term& term, const Batch& b) {
  if (term.over == Over::kAll) return {};
  return term.over == Over::kForget ? b.is_forget > 0.5 : b.is_forget < 0.5;
}

// Sum of x [n] over the samples in `wanted` (undefined: all).
inline torch::Tensor sum_over(const torch::Tensor& x, const torch::Tensor& wanted) {
  return wanted.defined() ? at::where(wanted, x, torch::zeros_like(x)).sum() : x.sum();
}

}  // namespace expunge
