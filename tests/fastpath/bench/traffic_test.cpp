// What a bench sends.
#include "fastpath/bench/traffic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "fastpath/bench/frame_sizes.h"
#include "fastpath/bench/schedule.h"
#include "policy/lower.h"
#include "policy/lower_owner_tags.h"
#include "tests/policy/generators.h"

namespace tails::fastpath::bench {
namespace {

struct Rules {
  explicit Rules(const char* profile) : policy(testing::profile(profile)), set(policy::lower(policy)) {
    view.owners = *policy::owner_tags(policy);
  }
  [[nodiscard]] uint8_t tag_of_tor() const {
    const auto owner = std::ranges::find_if(view.owners, [&](const OwnerTag& tag) {
      const auto* uid = std::get_if<Uid>(&tag.owner);
      return uid != nullptr && *uid == policy.tor->user.uid;
    });
    return owner->tag;
  }
  policy::Policy policy;
  ruleset::RuleSet set;
  WireView view;
};

std::vector<std::byte> written(const FrameTemplate& frame, const Peer& peer, uint32_t sequence = 7) {
  std::vector<std::byte> bytes(frame.length());
  frame.write(peer, Stamp::make(sequence, 99), bytes.data());
  return bytes;
}

Traffic traffic_of(const Rules& rules, size_t bytes = 60) {
  auto made = Traffic::make(rules.set, rules.view, bytes, rules.tag_of_tor());
  EXPECT_TRUE(made) << made.error().message;
  return *std::move(made);
}

/// Opens the connection before the judge.
void open(Judge& judge, const Traffic& traffic, const Peer& peer) {
  for (const Purpose purpose : {Purpose::kSyn, Purpose::kSynAck, Purpose::kFirstAck}) {
    const FrameTemplate& frame = traffic.templates(purpose).front();
    EXPECT_TRUE(passes(judge.judge(frame.from(), written(frame, peer), 0).outcome)) << frame.name();
  }
}

TEST(Stamp, IsReadAsItWasWrittenAndFitsNoOtherKeyOrNumber) {
  const Stamp stamp = Stamp::make(0x01020304, 5);
  EXPECT_TRUE(stamp.fits(5));
  EXPECT_FALSE(stamp.fits(6));
  std::vector<std::byte> frame(60);
  for (unsigned i = 0; i < 3; ++i) {
    frame[54 + 2 * i] = static_cast<std::byte>(stamp.word(i) >> 8);
    frame[55 + 2 * i] = static_cast<std::byte>(stamp.word(i) & 0xFF);
  }
  const auto read = Stamp::read(frame);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->sequence, 0x01020304U);
  EXPECT_EQ(read->check, stamp.check);
  EXPECT_FALSE(Stamp::read(std::span(frame).first(5)));
  // A number's check is as good as random: of all one-bit errors hardly any goes unseen.
  int unseen = 0;
  for (uint32_t number = 0; number < 1000; ++number) {
    for (unsigned bit = 0; bit < 32; ++bit) {
      const Stamp wrong{number ^ 1U << bit, Stamp::make(number, 5).check};
      unseen += wrong.fits(5) ? 1 : 0;
    }
  }
  EXPECT_LT(unseen, 10);
}

TEST(Traffic, WhatMustPassPassesAndWhatMustNotIsBlockedForEveryPeerInEveryProfileAndSize) {
  for (const char* profile : {"tails", "tails-i2p", "tails-classic"}) {
    const Rules rules(profile);
    for (const size_t bytes : {60U, 64U, 566U, 1514U}) {
      const Traffic traffic = traffic_of(rules, bytes);
      for (size_t i = 0; i < kPurposeCount; ++i) {
        const auto purpose = static_cast<Purpose>(i);
        ASSERT_FALSE(traffic.templates(purpose).empty()) << i;
        for (const FrameTemplate& frame : traffic.templates(purpose)) {
          for (uint32_t number = 0; number < 200'000; number += 9'973) {
            Judge judge(rules.set, rules.view);
            open(judge, traffic, Traffic::connection(number));
            const bool must_not = expected(purpose) == Expected::kBlocked;
            const Peer peer = must_not ? Traffic::stranger(number) : Traffic::connection(number);
            const Judge::Ruling ruling = judge.judge(frame.from(), written(frame, peer, number), 0);
            if (purpose == Purpose::kSyn || purpose == Purpose::kSynAck || purpose == Purpose::kFlood) continue;
            ASSERT_EQ(passes(ruling.outcome), !must_not)
                << profile << ", " << bytes << " bytes, " << frame.name() << ": " << name(ruling.outcome);
          }
        }
      }
    }
  }
}

TEST(Traffic, IllegalFramesAndFragmentsAreBlockedForTheReasonThatTheyAreNamedFor) {
  const Rules rules("tails");
  const Traffic traffic = traffic_of(rules);
  std::set<Outcome> reasons;
  for (const Purpose purpose : {Purpose::kIllegal, Purpose::kFragment}) {
    for (const FrameTemplate& frame : traffic.templates(purpose)) {
      for (uint32_t number = 1; number < 50; ++number) {
        Judge judge(rules.set, rules.view);
        const Outcome outcome = judge.judge(frame.from(), written(frame, Traffic::stranger(number), number), 0).outcome;
        reasons.insert(outcome);
        if (purpose == Purpose::kFragment) {
          EXPECT_EQ(outcome, Outcome::kFragment) << frame.name();
        }
        if (frame.name() == "wrong IPv4 checksum") {
          EXPECT_EQ(outcome, Outcome::kIpChecksum);
        }
        if (frame.name() == "wrong TCP checksum") {
          EXPECT_EQ(outcome, Outcome::kTransportChecksum);
        }
      }
    }
  }
  for (const Outcome reason :
       {Outcome::kVlan, Outcome::kIpv6, Outcome::kNotIp, Outcome::kUnknownTag, Outcome::kIpVersion,
        Outcome::kIpHeaderLength, Outcome::kIpTotalLength, Outcome::kTransportLength, Outcome::kBlocked}) {
    EXPECT_TRUE(reasons.contains(reason)) << name(reason);
  }
}

TEST(Traffic, ChecksumsOfWrittenFramesAreThoseOfFramesBuiltAtOnce) {
  const Rules rules("tails");
  for (const size_t bytes : {60U, 1514U}) {
    const Traffic traffic = traffic_of(rules, bytes);
    for (const Purpose purpose : {Purpose::kSegment, Purpose::kAnswer, Purpose::kSyn, Purpose::kLeak}) {
      for (const FrameTemplate& frame : traffic.templates(purpose)) {
        for (uint32_t number = 0; number < 70'000; number += 777) {
          const std::vector<std::byte> fast = written(frame, Traffic::connection(number), number * 1'000'003);
          std::vector<std::byte> slow = fast;
          wire::fix_checksums(std::span(slow).subspan(14));
          ASSERT_EQ(fast, slow) << frame.name() << " " << number;
        }
      }
    }
  }
}

TEST(Traffic, AFrameIsKnownAgainWithoutItsTagAndNoOtherChangeGoesUnseen) {
  const Rules rules("tails");
  const Traffic traffic = traffic_of(rules);
  const FrameTemplate& frame = traffic.templates(Purpose::kSegment).front();
  const Peer peer = Traffic::connection(3);
  const Stamp stamp = Stamp::make(7, 99);
  std::vector<std::byte> scratch(frame.length());
  std::vector<std::byte> filtered = written(frame, peer);
  EXPECT_TRUE(frame.is(filtered, peer, stamp, scratch.data()));
  // As the filter sends it on, and a router: without the tag, with other stations and one hop more behind it.
  filtered[15] = std::byte{0};
  filtered[22] = std::byte{63};
  filtered[0] = std::byte{0xAA};
  wire::fix_checksums(std::span(filtered).subspan(14));
  EXPECT_TRUE(frame.is(filtered, peer, stamp, scratch.data()));
  for (size_t at = 12; at < filtered.size(); ++at) {
    std::vector<std::byte> damaged = filtered;
    damaged[at] ^= std::byte{0x10};
    EXPECT_FALSE(frame.is(damaged, peer, stamp, scratch.data())) << at;
  }
  EXPECT_FALSE(frame.is(std::span(filtered).first(59), peer, stamp, scratch.data()));
  EXPECT_FALSE(frame.is(filtered, Traffic::connection(4), stamp, scratch.data()));
}

TEST(Traffic, APolicyThatLetsNobodyOutIsRefused) {
  Rules rules("tails");
  rules.view.owner_source = OwnerSource::kNone;
  rules.view.owners.clear();
  const auto made = Traffic::make(rules.set, rules.view, 60);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().kind, ErrorKind::kRejected);
  EXPECT_EQ(made.error().message, "this policy lets nobody open a TCP connection to the Internet");
  EXPECT_EQ(made.error().remedy, "A bench needs traffic that passes. Name another policy with --profile.");
}

TEST(Traffic, ConnectionsFloodsAndStrangersShareNoPeer) {
  std::set<std::pair<uint32_t, uint16_t>> seen;
  const auto add = [&](const Peer& peer) { return seen.insert({peer.address, peer.own_port}).second; };
  for (uint32_t number = 0; number < 120'000; ++number) {
    ASSERT_TRUE(add(Traffic::connection(number)));
    ASSERT_TRUE(add(Traffic::short_lived(number)));
    ASSERT_TRUE(add(Traffic::flood(number)));
  }
  for (uint32_t number = 0; number < 8'000; ++number) {
    const Peer peer = Traffic::stranger(number);
    ASSERT_FALSE(seen.contains({peer.address, peer.own_port}));
  }
}

TEST(Schedule, MixesInTheGivenSharesAndMeetsEveryConnectionAndTemplate) {
  const Rules rules("tails");
  const std::vector<SizedTraffic> sizes = {
      {traffic_of(rules, 60), 7}, {traffic_of(rules, 566), 4}, {traffic_of(rules, 1514), 1}};
  const std::vector<Share> mix = {{Purpose::kSegment, 40}, {Purpose::kAnswer, 10}, {Purpose::kLeak, 50}};
  constexpr uint32_t kConnections = 300'000;
  const Schedule schedule(sizes, mix, kConnections);
  std::array<double, kPurposeCount> purposes{};
  std::vector<bool> met(kConnections);
  std::set<std::string> names;
  constexpr uint32_t kFrames = 4 * Schedule::kPeriod;
  double bytes = 0;
  for (uint32_t sequence = 0; sequence < kFrames; ++sequence) {
    const Schedule::Entry entry = schedule.at(sequence);
    ASSERT_EQ(entry.purpose, schedule.purpose(sequence));
    ++purposes.at(static_cast<size_t>(entry.purpose));
    bytes += entry.frame->length();
    names.insert(entry.frame->name());
    if (expected(entry.purpose) == Expected::kPasses) met[entry.connection] = true;
  }
  EXPECT_NEAR(purposes[static_cast<size_t>(Purpose::kSegment)] / kFrames, 0.4, 0.01);
  EXPECT_NEAR(purposes[static_cast<size_t>(Purpose::kAnswer)] / kFrames, 0.1, 0.01);
  EXPECT_NEAR(purposes[static_cast<size_t>(Purpose::kLeak)] / kFrames, 0.5, 0.01);
  EXPECT_NEAR(bytes / kFrames, (7 * 60 + 4 * 566 + 1514) / 12.0, 3);
  EXPECT_NEAR(schedule.mean_bytes(), bytes / kFrames, 0.001);
  EXPECT_GT(std::ranges::count(met, true), kConnections * 0.7);
  EXPECT_EQ(names.size(), sizes.front().traffic.templates(Purpose::kLeak).size() + 2);
}

TEST(FrameSizes, AreEvenNumbersOrImix) {
  const auto one = read_frame_sizes("128");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->size(), 1U);
  EXPECT_EQ(one->front().bytes, 128U);
  const auto mix = read_frame_sizes("IMIX");
  ASSERT_TRUE(mix);
  ASSERT_EQ(mix->size(), 3U);
  EXPECT_EQ((*mix)[1].bytes, 570U);
  EXPECT_EQ((*mix)[1].share, 4U);
  for (const char* wrong : {"", "63", "65", "62", "1520", "64b", "-64", "jumbo"}) {
    const auto read = read_frame_sizes(wrong);
    ASSERT_FALSE(read) << wrong;
    EXPECT_EQ(read.error().message,
              "--size takes an even number of bytes from 64 to 1518, or IMIX, not \"" + std::string(wrong) + "\"");
    EXPECT_EQ(read.error().kind, ErrorKind::kUsage);
  }
}

}  // namespace
}  // namespace tails::fastpath::bench
