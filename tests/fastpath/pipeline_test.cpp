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
#include "tests/fastpath/structures.h"
#include "tests/policy/generators.h"

namespace tails::fastpath {
namespace {

using testing::Dice;

using Structure = Classifier::Structure;
constexpr Structure kStructures[] = {Structure::kClassTable, Structure::kLineBlocks, Structure::kAcl, Structure::kScan};

std::shared_ptr<const FilterRules> filter_rules(const ruleset::RuleSet& rules, const WireView& view,
                                                std::optional<Structure> structure = std::nullopt) {
  auto made = FilterRules::make(rules, view, acl_of, structure);
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

/// A pipeline as it can be: by each of the kernels that this processor runs, by each structure.
struct Contender {
  std::string name;
  std::optional<Structure> structure;  ///< Without one as the cost model chooses.
  Pipeline pipeline;
};

/// Runs pipelines of all kinds and the judge side by side on the same frames.
class Pair {
 public:
  Pair(const Rules& rules, size_t flows) : judge_(rules.set, rules.view) {
    const auto chosen = filter_rules(rules.set, rules.view);
    for (const Kernels* kernels : usable_kernels()) {
      contenders_.push_back({std::string(kernels->name), std::nullopt, Pipeline(chosen, flow_table(flows), *kernels)});
    }
    for (const Structure structure : kStructures) {
      contenders_.push_back({std::string(to_string(structure)), structure,
                             Pipeline(filter_rules(rules.set, rules.view, structure), flow_table(flows))});
    }
  }

  /// One burst. False (with a failure) where they differ.
  bool burst(Side from, const std::vector<std::vector<std::byte>>& frames) {
    std::vector<Judge::Ruling> rulings;
    for (const auto& frame : frames) {
      rulings.push_back(judge_.judge(from, frame, now));
      ++outcomes[static_cast<size_t>(rulings.back().outcome)];
    }
    for (Contender& contender : contenders_) {
      if (!burst(contender, from, frames, rulings)) return false;
    }
    return !::testing::Test::HasFailure();
  }

  void set_rules(const Rules& rules) {
    const auto chosen = filter_rules(rules.set, rules.view);
    for (auto& [name, structure, pipeline] : contenders_) {
      const auto made = structure ? filter_rules(rules.set, rules.view, structure) : chosen;
      while (!pipeline.set_rules(made)) pipeline.sweep(100);
    }
    judge_.set_rules(rules.set, rules.view);
  }

  /// By contender and direction: what classifies now.
  [[nodiscard]] std::vector<std::pair<Structure, Structure>> structures() const {
    std::vector<std::pair<Structure, Structure>> all;
    for (const Contender& contender : contenders_) {
      const FilterRules& rules = contender.pipeline.rules();
      all.emplace_back(rules.direction(Side::kInside).classifier->structure(),
                       rules.direction(Side::kOutside).classifier->structure());
    }
    return all;
  }

  uint64_t now = 1000;
  std::array<size_t, kOutcomeCount> outcomes{};
  size_t passed = 0;  ///< Of the last burst.

 private:
  bool burst(Contender& contender, Side from, const std::vector<std::vector<std::byte>>& frames,
             const std::vector<Judge::Ruling>& rulings) {
    Pipeline& pipeline = contender.pipeline;
    Frames memory;
    auto burst = std::make_unique<Burst>();
    for (const auto& frame : frames) memory.add(*burst, frame);
    pipeline.set_time(now);
    pipeline.process(from, *burst);
    EXPECT_EQ(burst->passed_count + burst->dropped_count, frames.size());
    passed = burst->passed_count;
    for (unsigned i = 0; i < frames.size(); ++i) {
      const Judge::Ruling& ruling = rulings[i];
      const bool by_rules = ruling.outcome == Outcome::kAccepted || ruling.outcome == Outcome::kBlocked;
      const WireVerdict said = pipeline.rules().wire().verdicts[burst->verdict[i]];
      if (burst->outcome[i] != ruling.outcome || (by_rules && said != WireVerdict{ruling.verdict, ruling.origin})) {
        ADD_FAILURE() << "frame " << i << " of " << frames.size()
                      << (from == Side::kInside ? " from inside: " : " from outside: ") << hex(frames[i])
                      << "\njudge: " << name(ruling.outcome) << " origin " << ruling.origin << ", pipeline by "
                      << contender.name << ": " << name(burst->outcome[i]) << " origin " << said.origin << " at " << now
                      << (ruling.packet ? "\n" + testing::describe(*ruling.packet) : "");
        return false;
      }
    }
    for (unsigned p = 0; p < burst->passed_count; ++p) expect_without_tag(pipeline, *burst, burst->passed[p], frames);
    return true;
  }

  /// What leaves bears no tag and is sound.
  static void expect_without_tag(const Pipeline& pipeline, const Burst& burst, unsigned i,
                                 const std::vector<std::vector<std::byte>>& came) {
    const OwnerSource source = pipeline.rules().wire().view.owner_source;
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

  std::deque<Contender> contenders_;
  Judge judge_;
};

/// `bursts` of random frames (see tries()) under `rules`, with time going on and, where there are several, rules
/// changing.
void expect_same(const std::vector<Rules>& rules, uint64_t seed, int bursts,
                 std::array<size_t, kOutcomeCount>* outcomes = nullptr) {
  Dice dice(seed);
  FrameSource source(rules.front().view, dice.bits());
  Pair pair(rules.front(), 4096);
  for (int b = 0; b < testing::tries(bursts); ++b) {
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
TEST(Pipeline, ClassifiesByTheStructureThatIsForcedWhereItCanServe) {
  const Pair pair(Rules(testing::profile("tails")), 64);
  std::vector<std::pair<Structure, Structure>> expected(usable_kernels().size(),
                                                        {Structure::kClassTable, Structure::kClassTable});
  for (const Structure structure : kStructures) {
    const Structure used = structure == Structure::kAcl && kAcl == 0 ? Structure::kClassTable : structure;
    expected.emplace_back(used, used);
  }
  EXPECT_EQ(pair.structures(), expected);
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

/// A sound frame, from where it comes, and up to where a checksum covers it.
struct Sound {
  Side from;
  std::vector<std::byte> frame;
  size_t covered_from = 14;
  size_t covered_to = 0;
};

std::vector<Sound> sound_frames(OwnerSource source) {
  std::vector<Sound> all;
  const auto add = [&](Side from, wire::FrameSpec spec, bool has_checksum = true) {
    if (source == OwnerSource::kVlan && from == Side::kInside) {
      spec.vlan = static_cast<uint16_t>(spec.tos >> 2);
      spec.tos = 0;
    }
    Sound sound{from, wire::build_frame(spec)};
    const auto ethernet = wire::read_ethernet(sound.frame);
    sound.covered_from = ethernet->header_bytes;
    const auto ip = wire::read_ipv4(std::span(sound.frame).subspan(sound.covered_from));
    sound.covered_to = sound.covered_from + (has_checksum ? ip.total_bytes : ip.header_bytes);
    all.push_back(std::move(sound));
  };
  wire::FrameSpec tor;
  tor.tos = 45 << 2;
  add(Side::kInside, tor);
  tor.payload.resize(37, std::byte{1});
  add(Side::kInside, tor);
  tor.ip_options.resize(8, std::byte{1});
  add(Side::kInside, tor);
  wire::FrameSpec answer;
  std::swap(answer.source, answer.destination);
  std::swap(answer.source_port, answer.destination_port);
  answer.tcp_flags = tcp_flag::kSyn | tcp_flag::kAck;
  add(Side::kOutside, answer);
  wire::FrameSpec udp;
  udp.protocol = protocol::kUdp;
  udp.destination_port = 53;
  udp.tos = 48 << 2;
  udp.payload.resize(21, std::byte{1});
  add(Side::kInside, udp);
  udp.destination = IpAddress::v4(192, 168, 1, 1);
  udp.tos = 0;
  udp.ip_options.resize(40, std::byte{1});
  add(Side::kInside, udp);
  udp.ip_options.clear();
  udp.source_port = 68;
  udp.destination_port = 67;
  add(Side::kInside, udp);
  std::swap(udp.source_port, udp.destination_port);
  add(Side::kOutside, udp);
  wire::FrameSpec lan;
  lan.destination = IpAddress::v4(192, 168, 1, 1);
  for (const unsigned number : {1U, 132U, 33U, 136U, 47U}) {
    lan.protocol = static_cast<uint8_t>(number);
    add(Side::kInside, lan, number == protocol::kIcmp);
  }
  // ARP, which has no checksum.
  Sound arp{Side::kInside, std::vector<std::byte>(60)};
  constexpr uint8_t kArp[] = {2, 0, 0, 0, 0, 2, 2, 0,  0, 0, 0, 1, 8, 6, 0, 1, 8, 0,  6, 4, 0,
                              1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 5, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1};
  for (size_t i = 0; i < sizeof kArp; ++i) arp.frame[i] = static_cast<std::byte>(kArp[i]);
  arp.covered_from = 0;
  all.push_back(arp);
  return all;
}

/// By pipeline and judge; and by themselves: no frame passes of which a byte is missing or, where a checksum covers it,
/// wrong.
void expect_hostile_frames_are_told(OwnerSource source) {
  const Rules rules(testing::profile("tails"), source);
  Pair pair(rules, 100'000);
  size_t passed_whole = 0;
  for (const Sound& sound : sound_frames(source)) {
    ASSERT_TRUE(pair.burst(sound.from, {sound.frame}));
    passed_whole += pair.passed;
    std::vector<std::vector<std::byte>> frames;
    const auto flush = [&](size_t from_size, bool may_pass) {
      if (frames.size() < from_size) return;
      ASSERT_TRUE(pair.burst(sound.from, frames));
      ASSERT_TRUE(may_pass || pair.passed == 0) << hex(sound.frame);
      frames.clear();
    };
    // Padding may be missing.
    const size_t end =
        sound.covered_from == 0
            ? 42
            : wire::read_ipv4(std::span(sound.frame).subspan(sound.covered_from)).total_bytes + sound.covered_from;
    for (size_t length = 0; length < sound.frame.size(); ++length) {
      frames.emplace_back(sound.frame.begin(), sound.frame.begin() + static_cast<long>(length));
      flush(length + 1 == end ? 1 : kBurst, length >= end);
    }
    flush(1, true);
    for (size_t bit = 0; bit < sound.frame.size() * 8; ++bit) {
      const bool is_covered = bit / 8 >= sound.covered_from && bit / 8 < sound.covered_to;
      frames.push_back(sound.frame);
      frames.back()[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
      const size_t next = bit / 8 + (bit % 8 == 7 ? 1 : 0);
      const bool is_last_of_kind = next == sound.covered_from || next == sound.covered_to;
      flush(is_last_of_kind && bit % 8 == 7 ? 1 : kBurst, !is_covered);
    }
    flush(1, true);
  }
  EXPECT_GT(passed_whole, 8U);
}

TEST(Pipeline, EveryTruncationAndEveryFlippedBitIsACountedDropOrTheRightVerdict) {
  expect_hostile_frames_are_told(OwnerSource::kDscp);
  expect_hostile_frames_are_told(OwnerSource::kVlan);
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
    const std::string_view entry = pipeline.rules().wire().origin(static_cast<VerdictId>(id))->entry;
    by_entry[std::string(entry)] += count.packets;
  }
  EXPECT_EQ(by_entry, (std::map<std::string, uint64_t>{{"[blocked]", 3}, {"[tor]", 2}}));
}

}  // namespace
}  // namespace tails::fastpath
