#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>

/// Multiple Loss Ratio Search (MLRsearch, RFC 9971), the part that every implementation must do alike: whether a load
/// (frames or connections a second) meets a goal, by the trials made at it. Its words are the RFC's. Pure.
namespace tails::fastpath::bench {

using Nanoseconds = std::chrono::nanoseconds;

/// What a search looks for: the highest load that loses no more than this.
struct SearchGoal {
  std::string name;             ///< "ndr".
  Nanoseconds trial{0};         ///< Goal Final Trial Duration.
  Nanoseconds duration_sum{0};  ///< Goal Duration Sum: of trials at one load, enough to be sure of it.
  double loss_ratio = 0;        ///< Goal Loss Ratio: a trial that loses more is a high-loss one.
  double exceed_ratio = 0.5;    ///< Goal Exceed Ratio: the part of trials that may be such; under 1.
  double width = 0.01;          ///< Goal Width: how near lower and upper bound must come, as a ratio of the load.
};

/// One trial, as far as a search looks at it.
struct TrialResult {
  double load = 0;  ///< As it was meant.
  Nanoseconds duration{0};
  double loss_ratio = 0;  ///< Of what should have passed.
  /// Something passed that must not. No goal forgives that: the load is an upper bound, however other trials went.
  bool leaked = false;
  /// The loss is the tester's, which could not send so much.
  bool tester_was_slow = false;

  [[nodiscard]] double forwarding_rate() const { return load * (1 - loss_ratio); }
};

enum class LoadClass : uint8_t { kUndecided, kLowerBound, kUpperBound };

/// RFC 9971 appendix A: what the trials made at one load say of it.
LoadClass classify(const SearchGoal& goal, std::span<const TrialResult> trials);

/// RFC 9971 appendix B: the forwarding rate that a trial at this load reaches as often as the goal wants it.
/// `trials` are of one load, at least one of them.
double conditional_throughput(const SearchGoal& goal, std::span<const TrialResult> trials);

}  // namespace tails::fastpath::bench
