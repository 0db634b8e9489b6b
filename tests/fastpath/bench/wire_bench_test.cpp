// The bench over cables, before a filter that is none: what it forwards, loses and lets through is known.
#include "fastpath/bench/wire_bench.h"

#include <gtest/gtest.h>

#include "policy/lower.h"
#include "policy/lower_owner_tags.h"
#include "tests/policy/generators.h"

namespace tails::fastpath::bench {
namespace {

using std::chrono::milliseconds;

/// Forwards at most `capacity` frames a second and loses the others, evenly.
class KnownFilter final : public Tester {
 public:
  double capacity = 1e5;
  double tester_limit = 1e6;
  bool is_there = true;
  bool leaks_fragments = false;
  bool blocks_answers = false;
  uint32_t table_size = 1'000'000;
  unsigned interrupted_every = 0;  ///< 0: none; of so many trials one loses nearly all, for want of a core.
  double slower_with_each_trial = 0;
  unsigned trials = 0;

  Result<Trial> trial(const Schedule& schedule, Ledger& ledger, double load, Nanoseconds duration) override {
    ++trials;
    Trial trial;
    const bool is_interrupted = interrupted_every != 0 && trials % interrupted_every == 0;
    trial.interruptions = is_interrupted ? 1 : 0;
    const double reached = std::min(load, tester_limit * (1 - slower_with_each_trial * trials));
    const double seconds = static_cast<double>(duration.count()) * 1e-9;
    const auto count = static_cast<uint32_t>(reached * seconds);
    trial.shortfall = 1 - reached / load;
    trial.seconds = seconds;
    ledger.begin(next_, count);
    const double forwards = is_interrupted ? 0.01 : std::min(1.0, capacity / reached);
    double credit = 0;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t sequence = next_ + i;
      ledger.sent(sequence);
      const Schedule::Entry entry = schedule.at(sequence);
      credit += forwards;
      if (credit < 1) continue;
      credit -= 1;
      const bool leaks = leaks_fragments && entry.purpose == Purpose::kFragment;
      if (blocks_answers && entry.purpose == Purpose::kAnswer) {
        trial.wrongly_blocked = 1;
        continue;
      }
      if (expected(entry.purpose) != Expected::kPasses && !leaks) continue;
      ledger.arrived(sequence, true);
      trial.latency.record(10'000);
    }
    next_ += count;
    trial.tally = ledger.tally();
    return trial;
  }

  Result<double> connect(Handshakes& handshakes, Peers peers, Nanoseconds limit) override {
    uint64_t now = 0;
    while (!handshakes.is_over()) {
      while (const auto frame = handshakes.next(now)) {
        now += 10'000;
        const bool has_room = peers == Peers::kShortLived || frame->number < table_size;
        if (is_there && has_room) handshakes.arrived(*frame);
        if (limit.count() != 0 && now > static_cast<uint64_t>(limit.count())) handshakes.stop();
      }
      now += 1'000'000;
    }
    return static_cast<double>(now) * 1e-9;
  }

 private:
  uint32_t next_ = 0;
};

class WireBench : public ::testing::Test {
 protected:
  WireBench() {
    const policy::Policy policy = testing::profile("tails");
    WireView view;
    view.owners = *policy::owner_tags(policy);
    sizes_.push_back({*Traffic::make(policy::lower(policy), view, 60), 1});
    settings_.connections = 100;
    settings_.trials = 3;
    settings_.trial = milliseconds(5);
    settings_.searches = true;
  }
  Result<WireResult> run() {
    return run_wire_bench(filter_, sizes_, settings_, [&](std::string_view, double part) {
      EXPECT_GE(part, progress_);
      EXPECT_LE(part, 1);
      progress_ = part;
    });
  }

  KnownFilter filter_;
  std::vector<SizedTraffic> sizes_;
  WireSettings settings_;
  double progress_ = 0;
};

TEST_F(WireBench, FindsWhatTheFilterForwardsForEveryMix) {
  const auto result = run();
  ASSERT_TRUE(result) << result.error().message;
  std::vector<std::string> names;
  for (const MixResult& mix : result->mixes) {
    names.push_back(mix.name);
    ASSERT_EQ(mix.ndr.size(), 3U) << mix.name;
    for (const double rate : mix.ndr) EXPECT_NEAR(rate, filter_.capacity, 0.02 * filter_.capacity) << mix.name;
    for (const double rate : mix.pdr) EXPECT_NEAR(rate, filter_.capacity, 0.02 * filter_.capacity) << mix.name;
    EXPECT_EQ(mix.tally.leaked, 0U);
    EXPECT_EQ(mix.ndr_remark, "");
  }
  EXPECT_EQ(names, (std::vector<std::string>{"leaks", "established", "syn-flood", "fragments", "illegal"}));
  EXPECT_EQ(result->opened, 100U);
  EXPECT_EQ(result->held, 100U);
  EXPECT_NEAR(Spread::of(result->tester_limit).median, filter_.tester_limit, 1e4);
  ASSERT_EQ(result->latencies.size(), 3U);
  for (const LatencyResult& latency : result->latencies) {
    EXPECT_NEAR(latency.load, filter_.capacity * latency.percent / 100, 0.02 * filter_.capacity);
    EXPECT_EQ(latency.p50_us.size(), 3U);
  }
  EXPECT_EQ(result->connections_per_second.size(), 3U);
}

TEST_F(WireBench, ALeakIsFoundAndNoRateIsGoodEnoughForIt) {
  filter_.leaks_fragments = true;
  const auto result = run();
  ASSERT_TRUE(result);
  EXPECT_GT(result->leaked(), 0U);
  for (const MixResult& mix : result->mixes) {
    const bool has_fragments = mix.name == "fragments";
    EXPECT_EQ(mix.tally.leaked != 0, has_fragments) << mix.name;
    EXPECT_EQ(mix.ndr_remark, has_fragments ? "not even the lowest rate that was tried is met" : "") << mix.name;
    if (has_fragments) {
      EXPECT_EQ(Spread::of(mix.ndr).most, 0);
    }
  }
}

TEST_F(WireBench, WhatIsBlockedAndMustPassIsSaid) {
  filter_.blocks_answers = true;
  const auto result = run();
  ASSERT_TRUE(result);
  EXPECT_GT(result->wrongly_blocked(), 0U);
}

TEST_F(WireBench, AFilterFasterThanTheTesterIsSaidToBeAtLeastThat) {
  filter_.capacity = 1e9;
  const auto result = run();
  ASSERT_TRUE(result);
  for (const MixResult& mix : result->mixes) {
    EXPECT_EQ(mix.ndr_remark, "the tester's own limit: the filter takes at least this") << mix.name;
    EXPECT_NEAR(Spread::of(mix.ndr).median, filter_.tester_limit, 1e4);
  }
}

TEST_F(WireBench, ATrialThatLostBecauseACoreWasTakenAwayIsMadeAgain) {
  filter_.interrupted_every = 2;
  const auto result = run();
  ASSERT_TRUE(result);
  EXPECT_GT(result->repeated, 0U);
  for (const MixResult& mix : result->mixes) {
    for (const double rate : mix.ndr) EXPECT_NEAR(rate, filter_.capacity, 0.02 * filter_.capacity) << mix.name;
    EXPECT_EQ(mix.ndr_remark, "") << mix.name;
  }
}

TEST_F(WireBench, WhereEveryTrialIsInterruptedItsLossCounts) {
  filter_.interrupted_every = 1;
  const auto result = run();
  ASSERT_TRUE(result);
  for (const MixResult& mix : result->mixes) {
    EXPECT_LT(Spread::of(mix.ndr).most, 0.02 * filter_.capacity) << mix.name;
  }
}

TEST_F(WireBench, ATesterThatGetsSlowerIsSeenInTheSpread) {
  filter_.capacity = 1e9;
  filter_.slower_with_each_trial = 0.0005;
  const auto result = run();
  ASSERT_TRUE(result);
  for (const MixResult& mix : result->mixes) {
    const Spread spread = Spread::of(mix.ndr);
    EXPECT_GT(spread.most, 1.02 * spread.least) << mix.name;
    EXPECT_EQ(mix.ndr_remark, "the tester's own limit: the filter takes at least this") << mix.name;
    EXPECT_TRUE(mix.converged) << mix.name;
  }
}

TEST_F(WireBench, ConnectionsForWhichThereIsNoRoomAreNotUsed) {
  filter_.table_size = 60;
  const auto result = run();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->opened, 60U);
  EXPECT_EQ(result->held, 60U);
}

TEST_F(WireBench, WithoutAFilterItSaysSo) {
  filter_.is_there = false;
  const auto result = run();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "no connection can be opened: nothing comes through");
  EXPECT_EQ(result.error().kind, ErrorKind::kRefused);
  EXPECT_EQ(filter_.trials, 0U);
}

TEST_F(WireBench, WithoutASearchTheRateIsTheOneAskedFor) {
  settings_.searches = false;
  settings_.load = 5e4;
  const auto result = run();
  ASSERT_TRUE(result);
  ASSERT_EQ(result->mixes.size(), 1U);
  for (const double rate : result->mixes.front().ndr) EXPECT_NEAR(rate, 5e4, 500);
  EXPECT_EQ(result->mixes.front().tally.lost(), 0U);
  EXPECT_EQ(result->latencies.front().latency.quantile(0.5) / 1000, 10U);
}

TEST_F(WireBench, ATesterThatIsTooSlowSaysNothingGoodOfTheLoad) {
  Trial trial;
  trial.tally.expected = trial.tally.passed = 100;
  trial.shortfall = 0.005;
  EXPECT_EQ(trial.result(1e6, milliseconds(1)).loss_ratio, 0);
  trial.shortfall = 0.2;
  EXPECT_EQ(trial.result(1e6, milliseconds(1)).loss_ratio, 0.2);
}

}  // namespace
}  // namespace tails::fastpath::bench
