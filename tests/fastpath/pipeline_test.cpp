// The pipeline says of every frame what the judge says of it.
#include "fastpath/pipeline.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>

#include "fastpath/judge.h"
#include "policy/lower.h"
#include "policy/lower_owner_tags.h"
#include "ruleset/text_reader.h"
#include "tests/fastpath/frame_source.h"
#include "tests/policy/generators.h"

namespace tails::fastpath {
namespace {

using testing::Dice;

std::shared_ptr<const FilterRules> filter_rules(const ruleset::RuleSet& rules, const WireView& view) {
  auto made = FilterRules::make(rules, view);
  EXPECT_TRUE(made) << made.error().message;
  return *made;
}

FlowTable flow_table(size_t flows) { return FlowTable(*Memory::map(FlowTable::bytes_for(flows)), 42); }

/// Frames in memory as the pipeline wants it: readable beyond their end, where there is anything but zeros.
class Frames {
 public:
  void add(Burst& burst, const std::vector<std::byte>& frame) {
    std::vector<std::byte>& copy = memory_.emplace_back(frame);
    copy.resize(std::max(frame.size(), Burst::kReadable) + Burst::kReadable, std::byte{0xA7});
    burst.data[burst.count] = copy.data();
    burst.length[burst.count] = static_cast<uint16_t>(frame.size());
    burst.known_good[burst.count] = 0;
    ++burst.count;
  }

 private:
  std::deque<std::vector<std::byte>> memory_;
};

/// One policy's rules with the tags that go with them.
struct Rules {
  explicit Rules(const policy::Policy& policy, OwnerSource source = OwnerSource::kDscp) : set(policy::lower(policy)) {
    view.owner_source = source;
    if (source != OwnerSource::kNone) view.owners = *policy::owner_tags(policy);
  }
  ruleset::RuleSet set;
  WireView view;
};

std::string hex(const std::vector<std::byte>& bytes) {
  std::string text;
  for (const std::byte b : bytes) {
    text += "0123456789abcdef"[std::to_integer<unsigned>(b) >> 4];
    text += "0123456789abcdef"[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}

/// Runs pipeline and judge side by side on the same frames.
class Pair {
 public:
  Pair(const Rules& rules, size_t flows)
      : pipeline_(filter_rules(rules.set, rules.view), flow_table(flows)), judge_(rules.set, rules.view) {}

  /// One burst. False (with a failure) where they differ.
  bool burst(Side from, const std::vector<std::vector<std::byte>>& frames) {
    Frames memory;
    auto burst = std::make_unique<Burst>();
    for (const auto& frame : frames) memory.add(*burst, frame);
    pipeline_.set_time(now);
    pipeline_.process(from, *burst);
    EXPECT_EQ(burst->passed_count + burst->dropped_count, frames.size());
    for (unsigned i = 0; i < frames.size(); ++i) {
      const Judge::Ruling ruling = judge_.judge(from, frames[i], now);
      ++outcomes[static_cast<size_t>(ruling.outcome)];
      const bool by_rules = ruling.outcome == Outcome::kAccepted || ruling.outcome == Outcome::kBlocked;
      const WireVerdict said = pipeline_.rules().wire().verdicts[burst->verdict[i]];
      if (burst->outcome[i] != ruling.outcome || (by_rules && said != WireVerdict{ruling.verdict, ruling.origin})) {
        ADD_FAILURE() << "frame " << i << " of " << frames.size()
                      << (from == Side::kInside ? " from inside: " : " from outside: ") << hex(frames[i])
                      << "\njudge: " << name(ruling.outcome) << " origin " << ruling.origin
                      << ", pipeline: " << name(burst->outcome[i]) << " origin " << said.origin << " at " << now
                      << (ruling.packet ? "\n" + testing::describe(*ruling.packet) : "");
        return false;
      }
    }
    for (unsigned p = 0; p < burst->passed_count; ++p) expect_without_tag(*burst, burst->passed[p], frames);
    return !::testing::Test::HasFailure();
  }

  void set_rules(const Rules& rules) {
    while (!pipeline_.set_rules(filter_rules(rules.set, rules.view))) pipeline_.sweep(100);
    judge_.set_rules(rules.set, rules.view);
  }

  uint64_t now = 1000;
  std::array<size_t, kOutcomeCount> outcomes{};

 private:
  /// What leaves bears no tag and is sound.
  void expect_without_tag(const Burst& burst, unsigned i, const std::vector<std::vector<std::byte>>& came) {
    const OwnerSource source = pipeline_.rules().wire().view.owner_source;
    if (burst.outcome[i] == Outcome::kArp || source == OwnerSource::kNone) return;
    const wire::Bytes frame(burst.data[i] + burst.trim[i], size_t{burst.length[i]} - burst.trim[i]);
    const auto ethernet = wire::read_ethernet(frame);
    ASSERT_TRUE(ethernet);
    EXPECT_FALSE(ethernet->vlan);
    const wire::Ipv4 ip = wire::read_ipv4(frame.subspan(14));
    EXPECT_EQ(ip.fault, wire::Fault::kNone);
    EXPECT_TRUE(std::equal(frame.begin(), frame.begin() + 12, came[i].begin()));
    EXPECT_TRUE(source != OwnerSource::kDscp || ip.dscp() == 0);
  }

  Pipeline pipeline_;
  Judge judge_;
};

/// `bursts` of random frames under `rules`, with time going on and, where there are `others`, rules changing.
void expect_same(const std::vector<Rules>& rules, uint64_t seed, int bursts,
                 std::array<size_t, kOutcomeCount>* outcomes = nullptr) {
  Dice dice(seed);
  FrameSource source(rules.front().view, dice.bits());
  Pair pair(rules.front(), 4096);
  for (int b = 0; b < bursts; ++b) {
    if (dice.chance(10)) pair.now += dice.chance(95) ? dice.below(4) : dice.below(dice.chance(80) ? 300 : 500'000);
    if (rules.size() > 1 && dice.chance(2)) pair.set_rules(dice.pick(rules));
    const auto from = static_cast<Side>(dice.below(2));
    std::vector<std::vector<std::byte>> frames(1 + dice.below(dice.chance(50) ? kBurst : 4));
    for (auto& frame : frames) frame = source.next(from);
    ASSERT_TRUE(pair.burst(from, frames)) << "burst " << b << ", seed " << seed;
  }
  if (outcomes != nullptr) *outcomes = pair.outcomes;
}

TEST(Pipeline, SaysWhatTheJudgeSaysUnderTheTailsProfile) {
  std::array<size_t, kOutcomeCount> outcomes{};
  expect_same({Rules(testing::profile("tails"))}, testing::seed_or(21), 30'000, &outcomes);
  // The frames really are of every kind.
  for (size_t o = 0; o < kOutcomeCount; ++o) {
    EXPECT_TRUE(outcomes[o] > 20 || static_cast<Outcome>(o) == Outcome::kTableFull) << name(static_cast<Outcome>(o));
  }
}
TEST(Pipeline, SaysWhatTheJudgeSaysUnderTheI2pProfile) {
  expect_same({Rules(testing::profile("tails-i2p"))}, testing::seed_or(22), 10'000);
}
TEST(Pipeline, SaysWhatTheJudgeSaysWithVlanTagsAndWithNone) {
  expect_same({Rules(testing::profile("tails"), OwnerSource::kVlan)}, testing::seed_or(23), 10'000);
  expect_same({Rules(testing::profile("tails"), OwnerSource::kNone)}, testing::seed_or(24), 10'000);
}

TEST(Pipeline, SaysWhatTheJudgeSaysUnderRandomPolicies) {
  Dice dice(testing::seed_or(25));
  for (int i = 0; i < 40; ++i) {
    expect_same({Rules(testing::random_policy(dice))}, dice.bits(), 500);
    if (HasFailure()) return;
  }
}

TEST(Pipeline, SaysWhatTheJudgeSaysWhileRulesChange) {
  Dice dice(testing::seed_or(26));
  std::vector<Rules> all = {Rules(testing::profile("tails")), Rules(testing::profile("tails-i2p")),
                            Rules(testing::profile("tails-i2p", false)), Rules(testing::profile("tails-classic"))};
  for (int i = 0; i < 4; ++i) all.emplace_back(testing::random_policy(dice));
  expect_same(all, dice.bits(), 20'000);
}

TEST(Pipeline, SaysWhatTheJudgeSaysUnderRulesThatGrantAlmostEverything) {
  // Answers, errors, strangers: whatever states are left to the flow table alone.
  const auto rules = ruleset::read_save(
      "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n-A INPUT -m state --state INVALID -j DROP\n"
      "-A OUTPUT -p udp -m udp --dport 53 -m owner --uid-owner 1 -j DROP\nCOMMIT\n",
      Family::kIpv4, "test");
  Rules open(testing::profile("tails"));
  open.set = *rules;
  expect_same({open}, testing::seed_or(27), 20'000);
}

TEST(Pipeline, EveryTruncationAndEveryFlippedBitIsACountedDropOrTheRightVerdict) {
  const Rules rules(testing::profile("tails"));
  std::vector<wire::FrameSpec> specs(4);
  specs[0].tos = 45 << 2;
  specs[1].protocol = protocol::kUdp;
  specs[1].destination_port = 53;
  specs[1].tos = 48 << 2;
  specs[1].payload.resize(21, std::byte{1});
  specs[2].protocol = protocol::kIcmp;
  specs[2].destination = IpAddress::v4(192, 168, 1, 1);
  specs[3].protocol = protocol::kUdp;
  specs[3].destination = IpAddress::v4(192, 168, 1, 1);
  specs[3].ip_options.resize(8, std::byte{1});
  Pair pair(rules, 100'000);
  std::vector<std::vector<std::byte>> frames;
  const auto flush = [&](size_t from_size) {
    if (frames.size() < from_size) return;
    ASSERT_TRUE(pair.burst(Side::kInside, frames));
    frames.clear();
  };
  for (const wire::FrameSpec& spec : specs) {
    const auto sound = wire::build_frame(spec);
    for (size_t length = 0; length <= sound.size(); ++length) {
      frames.emplace_back(sound.begin(), sound.begin() + static_cast<long>(length));
      flush(kBurst);
    }
    for (size_t bit = 0; bit < sound.size() * 8; ++bit) {
      frames.push_back(sound);
      frames.back()[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
      flush(kBurst);
    }
  }
  flush(1);
}

/// A burst with one frame; its outcome.
Outcome outcome_of_one(Pipeline& pipeline, Side from, const wire::FrameSpec& spec) {
  Frames memory;
  auto burst = std::make_unique<Burst>();
  memory.add(*burst, wire::build_frame(spec));
  pipeline.process(from, *burst);
  return burst->outcome[0];
}

TEST(Pipeline, AFullTableLetsNoNewFlowThroughAndKeepsTheOldOnes) {
  const Rules rules(testing::profile("tails"));
  Pipeline pipeline(filter_rules(rules.set, rules.view), FlowTable(*Memory::map(128), 1));
  wire::FrameSpec spec;
  spec.tos = 45 << 2;
  unsigned established = 0;
  for (Port port = 1; port < 200; ++port) {
    spec.source_port = port;
    spec.tcp_flags = tcp_flag::kSyn;
    if (outcome_of_one(pipeline, Side::kInside, spec) != Outcome::kAccepted) continue;
    wire::FrameSpec answer = spec;
    std::swap(answer.source, answer.destination);
    std::swap(answer.source_port, answer.destination_port);
    answer.tcp_flags = tcp_flag::kSyn | tcp_flag::kAck;
    ASSERT_EQ(outcome_of_one(pipeline, Side::kOutside, answer), Outcome::kAccepted);
    spec.tcp_flags = tcp_flag::kAck;
    ASSERT_EQ(outcome_of_one(pipeline, Side::kInside, spec), Outcome::kAccepted);
    ++established;
  }
  EXPECT_EQ(established, 8U);
  EXPECT_EQ(pipeline.outcomes()[static_cast<size_t>(Outcome::kTableFull)].packets, 191U);
}

TEST(Pipeline, CountsEveryFrameOnceAndByItsPolicyEntry) {
  const Rules rules(testing::profile("tails"));
  Pipeline pipeline(filter_rules(rules.set, rules.view), flow_table(1000));
  wire::FrameSpec spec;
  for (int i = 0; i < 3; ++i) outcome_of_one(pipeline, Side::kInside, spec);
  spec.tos = 45 << 2;
  for (int i = 0; i < 2; ++i) outcome_of_one(pipeline, Side::kInside, spec);
  uint64_t total = 0;
  for (const Count& count : pipeline.outcomes()) total += count.packets;
  EXPECT_EQ(total, 5U);
  std::map<std::string, uint64_t> by_entry;
  for (size_t id = 0; id < pipeline.verdicts().size(); ++id) {
    const Count& count = pipeline.verdicts()[id];
    if (count.packets == 0) continue;
    EXPECT_EQ(count.bytes, count.packets * 60);
    by_entry[pipeline.rules().wire().origin(static_cast<VerdictId>(id))->entry] += count.packets;
  }
  EXPECT_EQ(by_entry, (std::map<std::string, uint64_t>{{"[blocked]", 3}, {"[tor]", 2}}));
}

}  // namespace
}  // namespace tails::fastpath
