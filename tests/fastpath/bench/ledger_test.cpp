// How a bench keeps count of what came of what it sent.
#include "fastpath/bench/ledger.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "fastpath/bench/spread.h"
#include "policy/lower.h"
#include "policy/lower_owner_tags.h"
#include "tests/policy/generators.h"

namespace tails::fastpath::bench {
namespace {

class LedgerTest : public ::testing::Test {
 protected:
  static SizedTraffic traffic() {
    const policy::Policy policy = testing::profile("tails");
    WireView view;
    view.owners = *policy::owner_tags(policy);
    return {*Traffic::make(policy::lower(policy), view, 60), 1};
  }

  /// Begins a trial and sends all of it.
  void send(uint32_t first, uint32_t count) {
    ledger_.begin(first, count);
    for (uint32_t i = 0; i < count; ++i) ledger_.sent(first + i);
  }
  [[nodiscard]] bool must_pass(uint32_t sequence) const {
    return expected(schedule_.purpose(sequence)) == Expected::kPasses;
  }
  /// The filter does what it should, but `spoil` may do something else with a number and say that it did.
  template <class Spoil>
  void filter(uint32_t first, uint32_t count, Spoil&& spoil) {
    for (uint32_t sequence = first; sequence != first + count; ++sequence) {
      if (!spoil(sequence) && must_pass(sequence)) ledger_.arrived(sequence, true);
    }
  }
  /// The first number from `from` on that must pass, or must not.
  [[nodiscard]] uint32_t find(uint32_t from, bool passes) const {
    while (must_pass(from) != passes) ++from;
    return from;
  }

  std::vector<SizedTraffic> sizes_{traffic()};
  Schedule schedule_{sizes_, std::vector<Share>{{Purpose::kSegment, 1}, {Purpose::kLeak, 1}}, 100};
  Ledger ledger_{schedule_};
  static constexpr uint32_t kFirst = 0xFFFFFF00;  // Numbers go round within the trial.
  static constexpr uint32_t kCount = 1000;
};

TEST_F(LedgerTest, AFilterThatIsRightLosesAndLeaksNothing) {
  send(kFirst, kCount);
  EXPECT_FALSE(ledger_.is_complete());
  filter(kFirst, kCount, [](uint32_t) { return false; });
  EXPECT_TRUE(ledger_.is_complete());
  const Tally& tally = ledger_.tally();
  EXPECT_EQ(tally.sent, kCount);
  EXPECT_EQ(tally.expected + tally.forbidden, kCount);
  EXPECT_GT(tally.expected, kCount / 3);
  EXPECT_GT(tally.forbidden, kCount / 3);
  EXPECT_EQ(tally.passed, tally.expected);
  EXPECT_EQ(tally.lost() + tally.leaked + tally.duplicated + tally.reordered + tally.damaged + tally.late, 0U);
  EXPECT_EQ(tally.loss_ratio(), 0);
  EXPECT_TRUE(ledger_.missing(10).empty());
}

TEST_F(LedgerTest, OneLostFrameIsLostAndNamed) {
  send(kFirst, kCount);
  const uint32_t victim = find(kFirst + 500, true);
  filter(kFirst, kCount, [&](uint32_t sequence) { return sequence == victim; });
  EXPECT_EQ(ledger_.tally().lost(), 1U);
  EXPECT_GT(ledger_.tally().loss_ratio(), 0);
  EXPECT_FALSE(ledger_.is_complete());
  EXPECT_EQ(ledger_.missing(10), std::vector<uint32_t>{victim});
}

TEST_F(LedgerTest, OneLeakIsALeakAndNamed) {
  send(kFirst, kCount);
  const uint32_t leak = find(kFirst + 500, false);
  filter(kFirst, kCount, [&](uint32_t sequence) {
    if (sequence == leak) ledger_.arrived(sequence, true);
    return false;
  });
  EXPECT_EQ(ledger_.tally().leaked, 1U);
  EXPECT_EQ(ledger_.tally().leaks, (std::map<std::string, uint64_t>{{schedule_.at(leak).frame->name(), 1}}));
  EXPECT_EQ(ledger_.tally().lost(), 0U);
}

TEST_F(LedgerTest, ALeakThatComesInTheNextTrialIsALeakStill) {
  send(kFirst, kCount);
  const uint32_t leak = find(kFirst, false), slow = find(kFirst, true);
  send(kFirst + kCount, kCount);
  ledger_.arrived(leak, true);
  ledger_.arrived(slow, true);
  filter(kFirst + kCount, kCount, [](uint32_t) { return false; });
  EXPECT_EQ(ledger_.tally().leaked, 1U);
  EXPECT_EQ(ledger_.tally().late, 2U);
  EXPECT_EQ(ledger_.tally().lost(), 0U);
}

TEST_F(LedgerTest, WhatComesAfterTheScheduleChangedIsJudgedAsWhatItWasSentFor) {
  const Schedule other(sizes_, std::vector<Share>{{Purpose::kFragment, 1}}, 50);
  send(kFirst, kCount);
  const uint32_t allowed = find(kFirst, true), forbidden = find(kFirst, false);
  ledger_.follow(other);
  ledger_.begin(kFirst + kCount, 10);
  EXPECT_EQ(&ledger_.schedule_of(allowed), &schedule_);
  EXPECT_EQ(&ledger_.schedule_of(kFirst + kCount), &other);
  ledger_.arrived(allowed, true);  // To the other schedule every number is a fragment.
  EXPECT_EQ(ledger_.tally().late, 1U);
  EXPECT_EQ(ledger_.tally().leaked, 0U);
  ledger_.arrived(forbidden, true);
  EXPECT_EQ(ledger_.tally().leaked, 1U);
  EXPECT_EQ(ledger_.tally().leaks.count(schedule_.at(forbidden).frame->name()), 1U);
  ledger_.arrived(kFirst + kCount, true);
  EXPECT_EQ(ledger_.tally().leaked, 2U);
}

TEST_F(LedgerTest, TellsDuplicatesDamageAndForeignFramesApart) {
  send(kFirst, kCount);
  const uint32_t twice = find(kFirst + 300, true), damaged = find(twice + 1, true);
  filter(kFirst, kCount, [&](uint32_t sequence) {
    if (sequence == twice) ledger_.arrived(sequence, true);
    if (sequence == damaged) ledger_.arrived(sequence, false);
    return sequence == damaged;
  });
  ledger_.arrived_foreign();
  EXPECT_EQ(ledger_.tally().duplicated, 1U);
  EXPECT_EQ(ledger_.tally().damaged, 1U);
  EXPECT_EQ(ledger_.tally().foreign, 1U);
  // What is damaged did not get there.
  EXPECT_EQ(ledger_.tally().lost(), 1U);
  EXPECT_EQ(ledger_.tally().leaked, 0U);
}

TEST_F(LedgerTest, OrderCountsWithinAConnectionOnly) {
  send(kFirst, kCount);
  const uint32_t early = find(kFirst, true);
  uint32_t same = early + 1, other = early + 1;
  while (!must_pass(same) || schedule_.at(same).connection != schedule_.at(early).connection) ++same;
  while (!must_pass(other) || schedule_.at(other).connection == schedule_.at(early).connection) ++other;
  ledger_.arrived(other, true);
  ledger_.arrived(early, true);
  EXPECT_EQ(ledger_.tally().reordered, 0U);
  send(kFirst, kCount);
  ledger_.arrived(same, true);
  ledger_.arrived(early, true);
  EXPECT_EQ(ledger_.tally().reordered, 1U);
}

TEST_F(LedgerTest, MissingNumbersAreSpreadOverTheTrial) {
  send(0, kCount);
  const std::vector<uint32_t> some = ledger_.missing(5);
  ASSERT_EQ(some.size(), 5U);
  EXPECT_LT(some.front(), 100U);
  EXPECT_GT(some.back(), 700U);
  EXPECT_TRUE(std::ranges::is_sorted(some));
}

TEST(Spread, IsStableWithinATenth) {
  const Spread spread = Spread::of({9.6, 10.4, 10.0});
  EXPECT_EQ(spread.median, 10.0);
  EXPECT_EQ(spread.least, 9.6);
  EXPECT_EQ(spread.most, 10.4);
  EXPECT_TRUE(spread.is_stable());
  EXPECT_FALSE(Spread::of({9.4, 10.5, 10.0}).is_stable());
  EXPECT_FALSE(Spread::of({}).is_stable());
}

}  // namespace
}  // namespace tails::fastpath::bench
