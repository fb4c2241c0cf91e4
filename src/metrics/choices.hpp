// What the primary columns were computed with; every store records it beside its results.
#pragma once

namespace expunge::metrics {

inline constexpr const char* kAucScore = "gold_prob";    // of auc_gold_prob
inline constexpr const char* kMiaAttacker = "logistic";  // of all mia_* columns
inline constexpr const char* kMiaFeature = "entropy";    // of mia_success, mia_false_positive and the ratios
inline constexpr const char* kAucOrientation =
    "retain=1";  // D_r is the positive class: higher = retained data score higher
inline constexpr const char* kMiaRatioOrientation = "before/after";

}  // namespace expunge::metrics
