// Older ways to say the same: what takes a rule's place does the same to every packet, and the user is told.
#include "iptc/fallback.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "iptc/kernel/memory_kernel.h"
#include "iptc/port_boxes.h"
#include "iptc/transaction.h"
#include "policy/lower.h"
#include "proof/difference.h"
#include "ruleset/text_writer.h"
#include "tests/iptc/everything.h"
#include "tests/iptc/memory_files.h"
#include "tests/iptc/states.h"
#include "tests/policy/generators.h"

namespace tails::iptc {
namespace {

using kernel::Capabilities;
using kernel::ExtensionId;
using kernel::ExtensionKind;
using kernel::KernelLine;
using ruleset::TableName;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

Capabilities lacking(KernelLine line, const std::vector<std::pair<ExtensionKind, std::string_view>>& names) {
  Capabilities less = Capabilities::of(line);
  for (const auto& [kind, name] : names) {
    less = less.without(Family::kIpv4, kind, name).without(Family::kIpv6, kind, name);
  }
  return less;
}

const std::vector<std::pair<ExtensionKind, std::string_view>> kReplaceable = {
    {ExtensionKind::kMatch, "multiport"}, {ExtensionKind::kMatch, "comment"}, {ExtensionKind::kTarget, "NFLOG"}};

Features features_without(std::initializer_list<ExtensionId> missing) {
  Features features = Features::all();
  for (const ExtensionId id : missing) {
    for (const Family family : {Family::kIpv4, Family::kIpv6}) features.set(family, id, false);
  }
  return features;
}

/// Nothing about any packet may differ: verdict, destination, and whether it is logged.
void expect_same(const ruleset::RuleSet& before, const ruleset::RuleSet& after, const std::vector<Packet>& packets) {
  const ruleset::Evaluator a(before);
  const ruleset::Evaluator b(after);
  for (const Packet& packet : packets) {
    const auto x = a.evaluate(packet);
    const auto y = b.evaluate(packet);
    ASSERT_EQ(x.verdict, y.verdict) << testing::describe(packet);
    ASSERT_EQ(x.redirected_to, y.redirected_to) << testing::describe(packet);
    ASSERT_EQ(x.logged, y.logged) << testing::describe(packet);
  }
}

void expect_same_for_all_packets(const ruleset::RuleSet& before, const ruleset::RuleSet& after) {
  const auto compared = proof::compare(before, after, proof::Familiar::plain());
  ASSERT_TRUE(compared) << compared.error().message;
  EXPECT_TRUE(compared->is_same());
}

struct Poor {
  KernelLine line = KernelLine::kLatest;
  std::string policy;
};

class PoorKernel : public ::testing::TestWithParam<Poor> {};

TEST_P(PoorKernel, DoesTheSameToEveryPacket) {
  const policy::Policy policy = GetParam().policy == "everything" ? everything() : testing::profile(GetParam().policy);
  const ruleset::RuleSet wanted = policy::lower(policy);
  kernel::MemoryKernel kernel(lacking(GetParam().line, kReplaceable));
  MemoryFiles files;
  const auto outcome = commit({kernel, files}, wanted, {});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->kind, Outcome::Kind::kApplied);

  const ruleset::RuleSet live = read_all(kernel);
  for (const ruleset::Table& table : live.tables) {
    const std::string text = ruleset::write_save(table);
    EXPECT_THAT(text, ::testing::Not(::testing::HasSubstr("multiport")));
    EXPECT_THAT(text, ::testing::Not(::testing::HasSubstr("NFLOG")));
  }
  testing::PacketGenerator generator(policy, testing::seed_or(5));
  std::vector<Packet> packets;
  for (int i = 0; i < 3000; ++i) packets.push_back(generator.next());
  expect_same(wanted, live, packets);
  expect_same_for_all_packets(wanted, live);
}

std::vector<Poor> poor_kernels() {
  std::vector<Poor> all;
  for (const KernelLine line : {KernelLine::k3_2, KernelLine::k4_9}) {
    for (const char* const policy : {"tails", "tails-i2p", "tails-classic", "everything"})
      all.push_back({line, policy});
  }
  return all;
}
INSTANTIATE_TEST_SUITE_P(Lines, PoorKernel, ::testing::ValuesIn(poor_kernels()), [](const auto& parameter) {
  std::string name = "Linux_" + std::string(to_string(parameter.param.line)) + "_" + parameter.param.policy;
  for (char& c : name) {
    if (c == '.' || c == '-') c = '_';
  }
  return name;
});

TEST(Fallback, IsToldInFullSentences) {
  kernel::MemoryKernel kernel(lacking(KernelLine::k4_9, kReplaceable));
  MemoryFiles files;
  const auto outcome = commit({kernel, files}, policy::lower(everything()), {});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_THAT(outcome->notices, ElementsAre("This kernel has no match \"multiport\" of IPv6 (module xt_multiport): 2 "
                                            "rules of table \"filter\" of IPv6 are written "
                                            "as one rule for each range of ports.",
                                            "This kernel has no target \"NFLOG\" of IPv6 (module xt_NFLOG): 1 rule of "
                                            "table \"filter\" of IPv6 is logged by "
                                            "LOG, in the kernel's log.",
                                            "This kernel has no match \"multiport\" of IPv4 (module xt_multiport): 13 "
                                            "rules of table \"filter\" of IPv4 are "
                                            "written as one rule for each range of ports.",
                                            "This kernel has no target \"NFLOG\" of IPv4 (module xt_NFLOG): 1 rule of "
                                            "table \"filter\" of IPv4 is logged by "
                                            "LOG, in the kernel's log."));
}

TEST(Fallback, KeepsOriginsOfRulesThatBecameSeveral) {
  kernel::MemoryKernel kernel(lacking(KernelLine::k4_9, kReplaceable));
  MemoryFiles files;
  ASSERT_TRUE(commit({kernel, files}, policy::lower(everything()), {}));
  const auto live = read_live({kernel, files});
  ASSERT_TRUE(live) << live.error().message;
  EXPECT_THAT(live->unrecorded, IsEmpty());
  const auto& output = live->rules.find(Family::kIpv4, TableName::kFilter)->find("OUTPUT")->rules;
  size_t parts = 0;
  for (const ruleset::Rule& rule : output) {
    const ruleset::Origin* const origin = live->rules.origin(rule.origin);
    ASSERT_NE(origin, nullptr);
    if (origin->entry == "service \"many\"") ++parts;
  }
  EXPECT_EQ(parts, 17U);
}

TEST(Fallback, WithoutLogEitherTheMissingTargetIsNamed) {
  auto less = kReplaceable;
  less.emplace_back(ExtensionKind::kTarget, "LOG");
  kernel::MemoryKernel kernel(lacking(KernelLine::k4_9, less));
  MemoryFiles files;
  const auto refused = commit({kernel, files}, policy::lower(everything()), {});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message,
              ::testing::StartsWith("this kernel has no target \"NFLOG\" of IPv6, which rule"));
  EXPECT_EQ(kernel.replacements(), 0U);
}

/// A filter table of one rule in OUTPUT.
ruleset::RuleSet one_rule(ruleset::Rule rule) {
  ruleset::RuleSet rules;
  rules.tables.push_back(ruleset::Table::open(Family::kIpv4, TableName::kFilter));
  rules.tables[0].find("OUTPUT")->rules = {std::move(rule)};
  return rules;
}

std::string output_text(const ruleset::RuleSet& rules) {
  std::string text = ruleset::write_save(rules.tables[0]);
  const size_t begin = text.find("-A");
  return begin == std::string::npos ? "" : text.substr(begin, text.find("COMMIT") - begin);
}

TEST(Fallback, WritesEachRangeOfPortsAsARule) {
  ruleset::Rule rule;
  rule.header.protocol = protocol::kTcp;
  rule.matches = {
      ruleset::TcpMatch{{}, {}, false, false, 0x17, 2, false, 0, false},
      ruleset::MultiportMatch{
          ruleset::MultiportMatch::Side::kDestination, {PortRange::one(80), {8000, 8010}, {8005, 8020}}, false},
      ruleset::OwnerMatch::is(Uid{7}), ruleset::CommentMatch{"why"}};
  rule.target = ruleset::Accept{};
  ruleset::RuleSet rules = one_rule(rule);
  EXPECT_THAT(replace_missing(rules.tables[0], features_without({ExtensionId::kMultiport1, ExtensionId::kMultiport0,
                                                                 ExtensionId::kComment0})),
              ElementsAre("This kernel has no match \"multiport\" of IPv4 (module xt_multiport): 1 rule of table "
                          "\"filter\" of IPv4 is written "
                          "as one rule for each range of ports.",
                          "This kernel has no match \"comment\" of IPv4 (module xt_comment): 1 rule of table "
                          "\"filter\" of IPv4 is written "
                          "without comments."));
  EXPECT_EQ(output_text(rules),
            "-A OUTPUT -p tcp -m tcp --dport 80 --tcp-flags FIN,SYN,RST,ACK SYN -m owner --uid-owner 7 -j ACCEPT\n"
            "-A OUTPUT -p tcp -m tcp --dport 8000:8020 --tcp-flags FIN,SYN,RST,ACK SYN -m owner --uid-owner 7 -j "
            "ACCEPT\n");
}

TEST(Fallback, KeepsTheOldMultiportWhereItSaysEnough) {
  ruleset::Rule rule;
  rule.header.protocol = protocol::kUdp;
  rule.matches = {ruleset::MultiportMatch{
      ruleset::MultiportMatch::Side::kDestination, {PortRange::one(80), PortRange::one(90)}, false}};
  ruleset::RuleSet rules = one_rule(rule);
  EXPECT_THAT(replace_missing(rules.tables[0], features_without({ExtensionId::kMultiport1})), IsEmpty());
  EXPECT_EQ(output_text(rules), "-A OUTPUT -p udp -m multiport --dports 80,90\n");
}

TEST(Fallback, AsksStatesByTheOldMatch) {
  ruleset::Rule rule;
  rule.matches = {ruleset::ConntrackMatch{uint16_t{2 | 4}, true, {}, false, {}}};
  rule.target = ruleset::Accept{};
  ruleset::RuleSet rules = one_rule(rule);
  EXPECT_THAT(replace_missing(rules.tables[0], features_without({ExtensionId::kConntrack1, ExtensionId::kConntrack2,
                                                                 ExtensionId::kConntrack3})),
              ElementsAre("This kernel has no match \"conntrack\" of IPv4 (module xt_conntrack): 1 rule of table "
                          "\"filter\" of IPv4 is asked "
                          "by the match \"state\"."));
  EXPECT_EQ(output_text(rules), "-A OUTPUT -m state ! --state RELATED,ESTABLISHED -j ACCEPT\n");
}

TEST(Fallback, LooksAtNothingWhereNothingIsMissing) {
  ruleset::RuleSet rules = policy::lower(everything());
  const std::string before = ruleset::write_save(rules.tables[0]);
  EXPECT_THAT(replace_missing(rules.tables[0], Features::all()), IsEmpty());
  // What was never asked for is not missing.
  EXPECT_THAT(replace_missing(rules.tables[0], Features{}), IsEmpty());
  EXPECT_EQ(ruleset::write_save(rules.tables[0]), before);
}

TEST(PortBoxes, AreDisjointAndHoldWhatTheKernelWouldMatch) {
  using Side = ruleset::MultiportMatch::Side;
  testing::Dice dice(testing::seed_or(6));
  for (int round = 0; round < 300; ++round) {
    ruleset::MultiportMatch match;
    match.side = static_cast<Side>(dice.below(3));
    match.inverted = dice.below(2) == 0;
    for (size_t i = dice.below(5) + 1; i > 0; --i) {
      const auto first = static_cast<Port>(dice.below(4) == 0 ? 65530 + dice.below(6) : dice.below(12));
      match.ports.push_back({first, static_cast<Port>(std::min<size_t>(65535, first + dice.below(4)))});
    }
    const std::vector<PortBox> boxes = boxes_of(match);
    std::vector<Port> boundary = {0, 1, 65534, 65535};
    for (const PortRange& range : match.ports) {
      for (const int at : {range.first - 1, int{range.first}, int{range.last}, range.last + 1}) {
        if (at >= 0 && at <= 65535) boundary.push_back(static_cast<Port>(at));
      }
    }
    const auto named = [&](Port port) {
      return std::ranges::any_of(match.ports, [&](const PortRange& range) { return range.contains(port); });
    };
    for (const Port source : boundary) {
      for (const Port destination : boundary) {
        const bool hit = match.side == Side::kSource        ? named(source)
                         : match.side == Side::kDestination ? named(destination)
                                                            : named(source) || named(destination);
        const auto holders = std::ranges::count_if(boxes, [&](const PortBox& box) {
          return box.source.contains(source) && box.destination.contains(destination);
        });
        ASSERT_EQ(holders, hit != match.inverted ? 1 : 0)
            << "round " << round << ": " << source << " to " << destination;
      }
    }
  }
}

}  // namespace
}  // namespace tails::iptc
