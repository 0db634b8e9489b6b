#include "fastpath/bench/rate_search.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace tails::fastpath::bench {
namespace {

using std::chrono::milliseconds;

SearchGoal goal(double loss_ratio, double exceed_ratio, double width = 0.01) {
  return {"goal", milliseconds(100), milliseconds(1000), loss_ratio, exceed_ratio, width};
}

/// A device that forwards at most `capacity` and loses the rest; each trial meets it in another mood.
class Device {
 public:
  Device(double capacity, double mood, uint64_t seed = 1) : capacity_(capacity), mood_(mood), random_(seed) {}

  Result<TrialResult> operator()(double load, Nanoseconds duration) {
    ++trials;
    loads.insert(load);
    // What can go wrong makes it slower, never faster.
    const double now = capacity_ * (1 - std::abs(mood_ * normal_(random_)));
    return TrialResult{load, duration, load > now ? (load - now) / load : 0, load > leaks_above};
  }

  int trials = 0;
  std::set<double> loads;
  double leaks_above = 1e300;

 private:
  double capacity_;
  double mood_;
  std::normal_distribution<double> normal_;
  std::mt19937_64 random_;
};

std::vector<GoalResult> search(Device& device, std::vector<SearchGoal> goals, double least = 1e4, double most = 1e7) {
  RateSearch search({least, most, std::move(goals)});
  const auto results = search.run([&](double load, Nanoseconds duration) { return device(load, duration); });
  EXPECT_TRUE(results);
  return *results;
}

TEST(RateSearch, FindsTheCapacityOfASteadyDeviceWithinTheWidth) {
  for (const double capacity : {1.5e4, 2.2e5, 3.21e6, 9.99e6}) {
    Device device(capacity, 0);
    const auto result = search(device, {goal(0, 0.5)}).front();
    ASSERT_EQ(result.kind, GoalResult::Kind::kRegular) << capacity;
    EXPECT_LE(*result.lower, capacity);
    EXPECT_GT(*result.upper, capacity);
    EXPECT_LE(*result.upper / *result.lower, 1.0101);
    EXPECT_DOUBLE_EQ(result.throughput, *result.lower);
    EXPECT_LT(device.trials, 40) << "for " << capacity;
  }
}

TEST(RateSearch, PartialDropRateLiesAboveAndItsThroughputIsWhatGetsThrough) {
  Device device(2e6, 0);
  const auto results = search(device, {goal(0, 0.5, 0.002), goal(0.005, 0.5, 0.002)});
  EXPECT_EQ(results[1].kind, GoalResult::Kind::kRegular);
  EXPECT_GT(*results[1].lower, *results[0].lower);
  EXPECT_LE(*results[1].lower, 2e6 / 0.995);
  EXPECT_GT(*results[1].upper, 2e6 / 0.995);
  EXPECT_LE(results[1].throughput, 2e6);
  EXPECT_GE(results[1].throughput, 0.995 * *results[1].lower);
}

TEST(RateSearch, ExceedRatiosAreQuantilesOfANoisyDevice) {
  // Nine of ten trials at the lowest, half at the middle, one of ten at the highest load go well.
  int within = 0;
  constexpr int kRuns = 40;
  for (int run = 0; run < kRuns; ++run) {
    Device device(1e6, 0.03, static_cast<uint64_t>(run));
    const auto results = search(device, {goal(0, 0.5), goal(0, 0), goal(0, 0.9)});
    for (const GoalResult& result : results) EXPECT_EQ(result.kind, GoalResult::Kind::kRegular);
    const double middle = *results[0].lower;
    EXPECT_LE(*results[1].lower, middle * 1.0101);
    EXPECT_GE(*results[2].upper * 1.0101, middle);
    // The median of |N(0, 0.03)| is 0.0202.
    EXPECT_NEAR(middle, 1e6 * (1 - 0.0202), 0.03 * 1e6);
    within += *results[1].lower <= 0.9798e6 && *results[2].upper >= 0.9798e6 ? 1 : 0;
  }
  EXPECT_GE(within, kRuns - 1);
}

TEST(RateSearch, TheHighestLoadThatGoesWellIsAtLeastTheResult) {
  Device device(2e7, 0);
  const auto result = search(device, {goal(0, 0.5)}).front();
  EXPECT_EQ(result.kind, GoalResult::Kind::kAtLeast);
  EXPECT_EQ(*result.lower, 1e7);
  EXPECT_FALSE(result.upper);
}

TEST(RateSearch, WhereEvenTheLowestLoadLosesThereIsNone) {
  Device device(5e3, 0);
  const auto result = search(device, {goal(0, 0.5)}).front();
  EXPECT_EQ(result.kind, GoalResult::Kind::kNone);
  EXPECT_FALSE(result.lower);
  EXPECT_EQ(*result.upper, 1e4);
  EXPECT_EQ(result.throughput, 0);
}

TEST(RateSearch, StaysBelowTheFirstLoadThatLeaks) {
  Device device(3e6, 0);
  device.leaks_above = 4.4e5;
  const auto results = search(device, {goal(0, 0.5), goal(0.005, 0.5)});
  for (const GoalResult& result : results) {
    ASSERT_EQ(result.kind, GoalResult::Kind::kRegular);
    EXPECT_LE(*result.lower, 4.4e5);
    EXPECT_GT(*result.upper, 4.4e5);
  }
}

TEST(RateSearch, EndsWhenTrialsAreUsedUpAndSaysThatItIsNotSure) {
  Device device(1e6, 0.3);
  RateSearch search({1e4, 1e7, {goal(0, 0.5, 0.001)}, 12});
  const auto results = search.run([&](double load, Nanoseconds duration) { return device(load, duration); });
  ASSERT_TRUE(results);
  EXPECT_EQ(results->front().kind, GoalResult::Kind::kUndecided);
  EXPECT_EQ(device.trials, 12);
}

TEST(RateSearch, AnErrorOfATrialIsTheSearchs) {
  RateSearch search({1e4, 1e7, {goal(0, 0.5)}});
  const auto results = search.run(
      [](double, Nanoseconds) -> Result<TrialResult> { return fail(ErrorKind::kRefused, "the cable was pulled"); });
  ASSERT_FALSE(results);
  EXPECT_EQ(results.error().message, "the cable was pulled");
}

TEST(RateSearch, NeverAsksForLoadsBeyondItsEnds) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    Device device(1e6, 0.5, seed);
    search(device, {goal(0, 0.5), goal(0, 0), goal(0.005, 0.9)}, 5e4, 2e6);
    EXPECT_GE(*device.loads.begin(), 5e4);
    EXPECT_LE(*device.loads.rbegin(), 2e6);
  }
}

}  // namespace
}  // namespace tails::fastpath::bench
