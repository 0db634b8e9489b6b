#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "fastpath/bench/search_goal.h"
#include "net/result.h"

namespace tails::fastpath::bench {

/// What was found for one goal. Regular (RFC 9971): both bounds are there and no further apart than the goal's width.
struct GoalResult {
  enum class Kind : uint8_t {
    kRegular,
    kAtLeast,    ///< The highest load that there is meets the goal: `lower` is that load, and no bound above it.
    kNone,       ///< Not even the lowest load meets it.
    kUndecided,  ///< The search was ended before it was sure: the bounds are what it had.
  };
  Kind kind = Kind::kUndecided;
  std::optional<double> lower;  ///< Relevant Lower Bound.
  std::optional<double> upper;  ///< Relevant Upper Bound.
  double throughput = 0;        ///< Conditional Throughput at `lower`; 0 without.
  unsigned trials = 0;          ///< At `lower`.
  /// Most of the trials that make `upper` one lost what the tester could not send: what is tested takes more.
  bool is_testers_limit = false;
};

/// The Controller of MLRsearch (RFC 9971): chooses the loads of trials until every goal has its bounds.
///
/// Loads lie on a grid whose steps are the narrowest goal's width, so that goals share trials. First the highest load
/// is tried, then what was forwarded of it; from there bounds are looked for in rounds: coarse ones with a single trial
/// each, then with a third of what the goals ask for, then in full. Lower loads are measured first. Knows nothing of
/// packets or time, asks `measure` for everything.
class RateSearch {
 public:
  struct Settings {
    double least = 0;  ///< Min Load and Max Load; 0 < least < most.
    double most = 0;
    std::vector<SearchGoal> goals;
    unsigned most_trials = 1000;  ///< Then the search ends, whatever it knows.
  };
  /// One trial at `load`, as long as `duration`. An error ends the search.
  using Measure = std::function<Result<TrialResult>(double load, Nanoseconds duration)>;

  explicit RateSearch(Settings settings);

  /// Results in the order of the goals. Fails only where `measure` does.
  Result<std::vector<GoalResult>> run(const Measure& measure);

  /// What the search knows of a goal at present; for progress, from within `measure`.
  [[nodiscard]] GoalResult current(const SearchGoal& goal) const;
  [[nodiscard]] const Settings& settings() const { return settings_; }

 private:
  /// A goal as one round wants it.
  struct Target {
    SearchGoal goal;
    unsigned steps = 1;  ///< How many steps of the grid its bounds may be apart.
    std::optional<unsigned> hint_lower, hint_upper;
  };
  struct Bounds {
    std::optional<unsigned> lower, upper;
  };

  [[nodiscard]] double load(unsigned point) const;
  [[nodiscard]] unsigned point_below(double load) const;
  [[nodiscard]] Bounds bounds(const SearchGoal& goal) const;
  [[nodiscard]] std::optional<unsigned> next(const Target& target, const Bounds& bounds, unsigned& stride) const;
  Result<bool> measure_at(unsigned point, const SearchGoal& goal, const Measure& measure);
  Result<void> trial(unsigned point, Nanoseconds duration, const Measure& measure);
  Result<Bounds> solve(Target target, const Measure& measure);

  Settings settings_;
  double step_ = 1;
  unsigned last_ = 0;  ///< The point of the highest load.
  unsigned trials_made_ = 0;
  std::map<unsigned, std::vector<TrialResult>> trials_;  ///< By point.
};

}  // namespace tails::fastpath::bench
