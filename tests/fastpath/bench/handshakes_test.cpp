#include "fastpath/bench/handshakes.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace tails::fastpath::bench {
namespace {

using Frame = Handshakes::Frame;
using Step = Handshakes::Step;

/// Carries frames and loses one in `loses`; time goes on where there is nothing to send.
struct Network {
  unsigned loses = 0;
  std::mt19937 random{1};
  std::map<uint32_t, std::vector<Step>> seen;  ///< By connection: what arrived.
  uint64_t now = 0;
  size_t most_under_way = 0;

  void run(Handshakes& handshakes, const std::set<uint32_t>& dead = {}) {
    while (!handshakes.is_over()) {
      std::vector<Frame> under_way;
      while (const auto frame = handshakes.next(now)) under_way.push_back(*frame);
      most_under_way = std::max(most_under_way, under_way.size());
      for (const Frame& frame : under_way) {
        if (dead.contains(frame.number) || (loses != 0 && random() % loses == 0)) continue;
        seen[frame.number].push_back(frame.step);
        handshakes.arrived(frame);
      }
      now += 10;
    }
  }
};

TEST(Handshakes, EachConnectionGoesThroughItsStepsInOrder) {
  Handshakes handshakes({.first = 5, .count = 100, .window = 8, .until = Step::kReset, .patience = 100});
  Network network;
  network.run(handshakes);
  EXPECT_EQ(handshakes.done(), 100U);
  EXPECT_EQ(handshakes.sent_again(), 0U);
  EXPECT_EQ(network.seen.size(), 100U);
  EXPECT_LE(network.most_under_way, 8U);
  for (const auto& [number, steps] : network.seen) {
    EXPECT_TRUE(number >= 5 && number < 105);
    EXPECT_EQ(steps, (std::vector{Step::kSyn, Step::kSynAck, Step::kAck, Step::kReset}));
  }
}

TEST(Handshakes, WhatIsLostIsSentAgainUntilAllAreOpen) {
  Handshakes handshakes({.count = 1000, .window = 64, .patience = 40, .most_tries = 100});
  Network network;
  network.loses = 3;
  network.run(handshakes);
  EXPECT_EQ(handshakes.done(), 1000U);
  EXPECT_EQ(handshakes.failed(), 0U);
  EXPECT_GT(handshakes.sent_again(), 1000U);
  EXPECT_EQ(handshakes.whole(), 1000U);
}

TEST(Handshakes, AConnectionThatNeverOpensFailsAndTheOthersGoOn) {
  Handshakes handshakes({.count = 100, .window = 10, .patience = 20, .most_tries = 3});
  Network network;
  network.run(handshakes, {37, 61});
  EXPECT_EQ(handshakes.done(), 98U);
  EXPECT_EQ(handshakes.failed(), 2U);
  EXPECT_EQ(handshakes.sent_again(), 4U);
  EXPECT_EQ(handshakes.whole(), 37U);
}

TEST(Handshakes, FramesThatCameTwiceOrFromElsewhereChangeNothing) {
  Handshakes handshakes({.first = 10, .count = 1, .window = 4, .patience = 100});
  EXPECT_EQ(handshakes.next(0), (Frame{10, Step::kSyn}));
  handshakes.arrived({9, Step::kSyn});
  handshakes.arrived({11, Step::kSyn});
  handshakes.arrived({10, Step::kAck});
  EXPECT_EQ(handshakes.next(1), std::nullopt);
  handshakes.arrived({10, Step::kSyn});
  handshakes.arrived({10, Step::kSyn});
  EXPECT_EQ(handshakes.next(2), (Frame{10, Step::kSynAck}));
  EXPECT_EQ(handshakes.next(3), std::nullopt);
}

TEST(Handshakes, AfterAStopNoneIsBegun) {
  Handshakes handshakes({.count = 1U << 30, .window = 4, .until = Step::kReset, .patience = 100});
  Network network;
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(handshakes.next(0));
  handshakes.stop();
  EXPECT_FALSE(handshakes.is_over());
  for (uint32_t i = 0; i < 4; ++i) handshakes.arrived({i, Step::kSyn});
  network.run(handshakes);
  EXPECT_EQ(handshakes.done(), 4U);
}

TEST(Handshakes, AFrameIsItsSequenceNumber) {
  for (const Frame frame : {Frame{0, Step::kSyn}, Frame{(1U << 30) - 1, Step::kReset}, Frame{77, Step::kAck}}) {
    EXPECT_EQ(Frame::of(frame.sequence()), frame);
  }
}

}  // namespace
}  // namespace tails::fastpath::bench
