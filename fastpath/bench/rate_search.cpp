#include "fastpath/bench/rate_search.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace tails::fastpath::bench {
namespace {

/// The rounds: what part of the goal's trials each asks for (0: one), and how many steps of the grid it allows.
struct Round {
  double part;
  unsigned steps;
};
constexpr Round kRounds[] = {{0, 8}, {0.3, 2}, {1, 1}};

}  // namespace

RateSearch::RateSearch(Settings settings) : settings_(std::move(settings)) {
  assert(settings_.least > 0 && settings_.least < settings_.most && !settings_.goals.empty());
  double width = settings_.goals.front().width;
  for (const SearchGoal& goal : settings_.goals) width = std::min(width, goal.width);
  // Ends that lie whole steps apart keep those steps, whatever the last digit of the logarithm.
  constexpr double kSlack = 1e-9;
  last_ = static_cast<unsigned>(std::ceil(std::log(settings_.most / settings_.least) / std::log1p(width) - kSlack));
  last_ = std::max(last_, 1U);
  // Both ends lie on the grid; its steps are then at most the width.
  step_ = std::pow(settings_.most / settings_.least, 1.0 / last_);
}

double RateSearch::load(unsigned point) const {
  return point == last_ ? settings_.most : settings_.least * std::pow(step_, point);
}

unsigned RateSearch::point_below(double load) const {
  if (load <= settings_.least) return 0;
  const double point = std::floor(std::log(load / settings_.least) / std::log(step_) + 1e-9);
  return std::min(static_cast<unsigned>(point), last_);
}

RateSearch::Bounds RateSearch::bounds(const SearchGoal& goal) const {
  Bounds result;
  // In the order of loads: of lower bounds only those under the first upper one count.
  for (const auto& [point, trials] : trials_) {
    const LoadClass it = classify(goal, trials);
    if (it == LoadClass::kLowerBound) result.lower = point;
    if (it == LoadClass::kUpperBound) {
      result.upper = point;
      break;
    }
  }
  return result;
}

/// The point to measure next, which is neither kind of bound yet; nothing where the target is met or cannot be.
/// `stride` is how far to go where one of the bounds is missing; it doubles.
std::optional<unsigned> RateSearch::next(const Target& target, const Bounds& bounds, unsigned& stride) const {
  const auto between = [&](unsigned low, unsigned high) { return low + (high - low) / 2; };
  if (bounds.lower && bounds.upper) {
    if (*bounds.upper - *bounds.lower <= target.steps) return std::nullopt;
    return between(*bounds.lower, *bounds.upper);
  }
  if (bounds.upper) {
    if (*bounds.upper == 0) return std::nullopt;
    if (target.hint_lower && *target.hint_lower < *bounds.upper) {
      const bool is_near = *bounds.upper - *target.hint_lower <= target.steps;
      return is_near ? *target.hint_lower : between(*target.hint_lower, *bounds.upper);
    }
    const unsigned down = std::min(stride, *bounds.upper);
    stride *= 2;
    return *bounds.upper - down;
  }
  if (bounds.lower) {
    if (*bounds.lower == last_) return std::nullopt;
    if (target.hint_upper && *target.hint_upper > *bounds.lower) {
      const bool is_near = *target.hint_upper - *bounds.lower <= target.steps;
      return is_near ? *target.hint_upper : between(*bounds.lower, *target.hint_upper);
    }
    const unsigned up = std::min(stride, last_ - *bounds.lower);
    stride *= 2;
    return *bounds.lower + up;
  }
  // Lower loads first: what is found there is less likely to be upset later.
  if (target.hint_lower) return target.hint_lower;
  return target.hint_upper ? target.hint_upper : last_;
}

Result<void> RateSearch::trial(unsigned point, Nanoseconds duration, const Measure& measure) {
  Result<TrialResult> result = measure(load(point), duration);
  if (!result) return tl::unexpected(result.error());
  ++trials_made_;
  trials_[point].push_back(*result);
  return {};
}

/// Trials at the point until the goal knows what it is. False: no more trials may be made.
Result<bool> RateSearch::measure_at(unsigned point, const SearchGoal& goal, const Measure& measure) {
  while (classify(goal, trials_[point]) == LoadClass::kUndecided) {
    if (trials_made_ >= settings_.most_trials) return false;
    if (auto done = trial(point, goal.trial, measure); !done) return tl::unexpected(done.error());
  }
  return true;
}

Result<RateSearch::Bounds> RateSearch::solve(Target target, const Measure& measure) {
  unsigned stride = target.steps;
  while (true) {
    const Bounds now = bounds(target.goal);
    const std::optional<unsigned> point = next(target, now, stride);
    if (!point) return now;
    // A hint serves once.
    if (point == target.hint_lower) target.hint_lower.reset();
    if (point == target.hint_upper) target.hint_upper.reset();
    const auto went_on = measure_at(*point, target.goal, measure);
    if (!went_on) return tl::unexpected(went_on.error());
    if (!*went_on) return bounds(target.goal);
  }
}

Result<std::vector<GoalResult>> RateSearch::run(const Measure& measure) {
  const Nanoseconds first = settings_.goals.front().trial;
  if (auto done = trial(last_, first, measure); !done) return tl::unexpected(done.error());
  const unsigned forwarded = point_below(trials_[last_].front().forwarding_rate());
  std::vector<Bounds> known(settings_.goals.size(), Bounds{forwarded, std::nullopt});
  for (const Round& round : kRounds) {
    for (size_t i = 0; i < settings_.goals.size(); ++i) {
      Target target{settings_.goals[i], round.steps, known[i].lower, known[i].upper};
      const auto part = Nanoseconds(std::llround(static_cast<double>(target.goal.duration_sum.count()) * round.part));
      target.goal.duration_sum = std::max(part, target.goal.trial);
      const auto found = solve(std::move(target), measure);
      if (!found) return tl::unexpected(found.error());
      if (found->lower) known[i].lower = found->lower;
      known[i].upper = found->upper;
    }
  }
  std::vector<GoalResult> results;
  for (const SearchGoal& goal : settings_.goals) results.push_back(current(goal));
  return results;
}

GoalResult RateSearch::current(const SearchGoal& goal) const {
  const Bounds found = bounds(goal);
  GoalResult result;
  if (found.upper) {
    result.upper = load(*found.upper);
    const std::vector<TrialResult>& trials = trials_.at(*found.upper);
    const auto is_high = [&](const TrialResult& trial) { return trial.leaked || trial.loss_ratio > goal.loss_ratio; };
    const auto high = std::ranges::count_if(trials, is_high);
    const auto slow = std::ranges::count_if(
        trials, [&](const TrialResult& trial) { return is_high(trial) && trial.tester_was_slow && !trial.leaked; });
    result.is_testers_limit = 2 * slow > high;
  }
  if (found.lower) {
    const std::vector<TrialResult>& trials = trials_.at(*found.lower);
    result.lower = load(*found.lower);
    result.throughput = conditional_throughput(goal, trials);
    result.trials = static_cast<unsigned>(trials.size());
  }
  if (found.lower && found.upper) {
    const bool is_near = *result.upper <= *result.lower * (1 + goal.width) * (1 + 1e-9);
    result.kind = is_near ? GoalResult::Kind::kRegular : GoalResult::Kind::kUndecided;
  } else if (found.lower && *found.lower == last_) {
    result.kind = GoalResult::Kind::kAtLeast;
  } else if (found.upper && *found.upper == 0) {
    result.kind = GoalResult::Kind::kNone;
  }
  return result;
}

}  // namespace tails::fastpath::bench
