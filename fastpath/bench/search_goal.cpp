#include "fastpath/bench/search_goal.h"

#include <algorithm>
#include <cassert>
#include <vector>

namespace tails::fastpath::bench {
namespace {

/// Sums of durations are whole nanoseconds; the products with ratios are not, and half a one decides nothing.
constexpr double kSlack = 0.5;

double sum_of(std::span<const TrialResult> trials, auto&& counts) {
  Nanoseconds sum{0};
  for (const TrialResult& trial : trials) {
    if (counts(trial)) sum += trial.duration;
  }
  return static_cast<double>(sum.count());
}

}  // namespace

LoadClass classify(const SearchGoal& goal, std::span<const TrialResult> trials) {
  assert(goal.exceed_ratio >= 0 && goal.exceed_ratio < 1);
  if (std::ranges::any_of(trials, &TrialResult::leaked)) return LoadClass::kUpperBound;
  const auto is_full = [&](const TrialResult& trial) { return trial.duration >= goal.trial; };
  const auto is_high = [&](const TrialResult& trial) { return trial.loss_ratio > goal.loss_ratio; };
  const double full_low = sum_of(trials, [&](const auto& t) { return is_full(t) && !is_high(t); });
  const double full_high = sum_of(trials, [&](const auto& t) { return is_full(t) && is_high(t); });
  const double short_low = sum_of(trials, [&](const auto& t) { return !is_full(t) && !is_high(t); });
  const double short_high = sum_of(trials, [&](const auto& t) { return !is_full(t) && is_high(t); });

  // Short trials that went well only speak against short ones that went badly.
  const double balancing = short_low * goal.exceed_ratio / (1 - goal.exceed_ratio);
  const double effective_high = full_high + std::max(0.0, short_high - balancing);
  const double effective_whole = std::max(full_low + effective_high, static_cast<double>(goal.duration_sum.count()));
  const double forgiven = effective_whole * goal.exceed_ratio + kSlack;
  // If all that is still to come went badly, and if it all went well.
  if (effective_whole - full_low <= forgiven) return LoadClass::kLowerBound;
  if (effective_high > forgiven) return LoadClass::kUpperBound;
  return LoadClass::kUndecided;
}

double conditional_throughput(const SearchGoal& goal, std::span<const TrialResult> trials) {
  assert(!trials.empty());
  std::vector<TrialResult> full;
  for (const TrialResult& trial : trials) {
    if (trial.duration >= goal.trial) full.push_back(trial);
  }
  std::ranges::sort(full, {}, &TrialResult::loss_ratio);
  Nanoseconds sum{0};
  for (const TrialResult& trial : full) sum += trial.duration;
  double remaining = static_cast<double>(std::max(goal.duration_sum, sum).count()) * (1 - goal.exceed_ratio);
  double loss_ratio = 1;
  for (const TrialResult& trial : full) {
    if (remaining <= kSlack) break;
    loss_ratio = trial.loss_ratio;
    remaining -= static_cast<double>(trial.duration.count());
  }
  // Trials that were never made count as lost.
  if (remaining > kSlack) loss_ratio = 1;
  return trials.front().load * (1 - loss_ratio);
}

}  // namespace tails::fastpath::bench
