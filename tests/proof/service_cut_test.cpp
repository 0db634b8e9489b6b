// Very many services are cut out of a proof: what the trees of chains mean is read as boxes, and the boxes are held
// against the evaluator, and against mistakes in the trees.
#include <gtest/gtest.h>

#include <algorithm>
#include <variant>

#include "policy/lower.h"
#include "proof/prove.h"
#include "proof/service_cut.h"
#include "tests/policy/generators.h"
#include "tests/proof/mutants.h"

namespace tails::proof {
namespace {

using namespace ruleset;
using tails::testing::Dice;

/// Services of a few users at a few addresses, with ranges that overlap, denials, source ports, and both families.
policy::Policy large_policy(size_t services, Dice& dice) {
  policy::Policy policy = tails::testing::profile("tails");
  for (size_t i = 0; i < services; ++i) {
    policy::Service service;
    service.name = "service " + std::to_string(i);
    service.at = dice.chance(70) ? kLoopbackV4 : IpAddress::v4(127, 0, 1, static_cast<uint8_t>(dice.below(30)));
    if (dice.chance(20)) service.at = kLoopbackV6;
    const auto first = static_cast<Port>(1 + dice.below(5'000));
    const auto last = dice.chance(70) ? first : static_cast<Port>(first + dice.below(60));
    service.ports = {
        {dice.chance(60) ? protocol::kTcp : protocol::kUdp, dice.chance(1) ? PortRange{} : PortRange{first, last}}};
    if (dice.chance(5)) service.from = {PortRange{31'000, 31'002}};
    if (dice.chance(3)) service.from = {PortRange{31'000, 31'002}, PortRange::one(40'000)};
    const auto user = [&] {
      const auto number = static_cast<uint32_t>(dice.below(12));
      return policy::User{"user" + std::to_string(number), Uid{10'000 + number}};
    };
    service.allow = {user()};
    if (dice.chance(10)) service.deny = {user()};
    service.is_active = dice.chance(95);
    service.origin = {"large.toml", static_cast<uint32_t>(100 + i), "service"};
    policy.services.push_back(std::move(service));
  }
  return policy;
}

bool is_cut(const RuleSet& rules, const policy::Policy& policy) {
  return ServiceCut::find(Family::kIpv4, rules, policy) && ServiceCut::find(Family::kIpv6, rules, policy);
}

TEST(ServiceCut, LargePoliciesAreCutAndHold) {
  const uint64_t seed = tails::testing::seed_or(61);
  Dice dice(seed);
  for (int i = 0; i < 12; ++i) {
    const policy::Policy policy = large_policy(1'200 + dice.below(800), dice);
    const RuleSet rules = policy::lower(policy);
    ASSERT_TRUE(is_cut(rules, policy)) << "policy " << i << ", TAILS_SEED=" << seed;
    EXPECT_TRUE(holds_by_class(rules, policy)) << "policy " << i << ", TAILS_SEED=" << seed;
  }
}

TEST(ServiceCut, SmallRuleSetsAreLookedAtWhole) {
  const policy::Policy policy = tails::testing::profile("tails");
  EXPECT_FALSE(is_cut(policy::lower(policy), policy));
}

TEST(ServiceCut, WhatIsLeftIsSmall) {
  Dice dice(62);
  const policy::Policy policy = large_policy(3'000, dice);
  const auto cut = ServiceCut::find(Family::kIpv4, policy::lower(policy), policy);
  ASSERT_TRUE(cut);
  size_t left = 0;
  for (const Table& table : cut->rules().tables) left += table.rule_count();
  EXPECT_LT(left, 100U);
}

/// A place of one rule in a rule set.
struct Place {
  size_t table, chain, rule;
};

/// Every rule of the trees of `rules`; those of built-in chains are other tests' (mutant_test.cpp).
std::vector<Place> places_of(const RuleSet& rules) {
  std::vector<Place> places;
  for (size_t t = 0; t < rules.tables.size(); ++t) {
    for (size_t c = 0; c < rules.tables[t].chains.size(); ++c) {
      const std::string& name = rules.tables[t].chains[c].name;
      const bool is_tree = name.starts_with("lo-") || name.starts_with("no-") || name.starts_with("in-");
      for (size_t r = 0; is_tree && r < rules.tables[t].chains[c].rules.size(); ++r) places.push_back({t, c, r});
    }
  }
  return places;
}

/// One mistake in a rule of a tree. Empty where the dice's mistake has nothing to change here.
std::string spoil(Rule& rule, Dice& dice) {
  const auto ports = [&](auto& match) -> std::string {
    switch (dice.below(3)) {
      case 0: match.destination.last = static_cast<Port>(match.destination.last + 1); return "one port more";
      case 1: match.destination = {}; return "every port";
      default: match.source_inverted = true; return "no source port";
    }
  };
  switch (dice.below(5)) {
    case 0:
      if (std::holds_alternative<Accept>(rule.target)) return rule.target = Drop{}, "drops";
      return rule.target = Accept{}, "accepts";
    case 1:
      if (rule.header.destination.is_any()) return {};
      return rule.header.destination = {}, "every address";
    case 2:
      if (rule.matches.empty()) return {};
      return rule.matches.clear(), "no match";
    case 3:
      rule.header.out = InterfaceTest::is(*InterfaceName::make("eth0"));
      return "an interface that no packet of these has";
    default:
      for (Match& match : rule.matches) {
        if (auto* tcp = std::get_if<TcpMatch>(&match)) return ports(*tcp);
        if (auto* udp = std::get_if<UdpMatch>(&match)) return ports(*udp);
        if (auto* owner = std::get_if<OwnerMatch>(&match)) return owner->uid->last += 1, "one user more";
      }
      return {};
  }
}

/// A packet that the rules and the policy disagree about, among many near the policy's entries.
bool is_seen_by_packets(const RuleSet& rules, const policy::Policy& policy, uint64_t seed) {
  const Evaluator evaluator(rules);
  tails::testing::PacketGenerator generator(policy, seed);
  for (int i = 0; i < 3'000; ++i) {
    if (tails::testing::disagreement(policy, evaluator, generator.next())) return true;
  }
  return false;
}

// A mistake may change nothing (a rule that others cover): then either answer of a proof by class is right, and the
// evaluator's packets find nothing. Where they find something, the proof must not have held.
TEST(ServiceCut, MistakesInTheTreesAreNeverProvedRight) {
  const uint64_t seed = tails::testing::seed_or(63);
  Dice dice(seed);
  const policy::Policy policy = large_policy(700, dice);
  const RuleSet right = policy::lower(policy);
  const std::vector<Place> places = places_of(right);
  ASSERT_GT(places.size(), 700U);
  int held = 0;
  int seen = 0;
  for (int i = 0; i < 300; ++i) {
    RuleSet rules = right;
    const Place place = places[dice.below(places.size())];
    Chain& chain = rules.tables[place.table].chains[place.chain];
    std::string mistake;
    if (dice.chance(20)) {
      chain.rules.erase(chain.rules.begin() + static_cast<ptrdiff_t>(place.rule));
      mistake = "rule left out";
    } else {
      mistake = spoil(chain.rules[place.rule], dice);
    }
    if (mistake.empty()) continue;
    const bool is_cut_out = ServiceCut::find(right.tables[place.table].family, rules, policy).has_value();
    if (!is_cut_out) continue;  // the proof then takes every rule: mutant_test.cpp's matter
    ++held;
    const bool differs = is_seen_by_packets(rules, policy, dice.bits());
    EXPECT_FALSE(differs) << mistake << " in rule " << place.rule << " of " << chain.name << ", TAILS_SEED=" << seed;
    seen += differs ? 1 : 0;
  }
  // Most mistakes change what a tree means.
  EXPECT_LT(held, 100) << "TAILS_SEED=" << seed;
  EXPECT_EQ(seen, 0);
}

TEST(ServiceCut, TreesThatOthersCallToo_AreNotCut) {
  Dice dice(64);
  const policy::Policy policy = large_policy(1'500, dice);
  RuleSet rules = policy::lower(policy);
  Table& filter = *rules.find(Family::kIpv4, TableName::kFilter);
  Rule rule;
  rule.target = Jump{"lo-tcp", false};
  filter.find("FORWARD")->rules.push_back(rule);
  EXPECT_FALSE(ServiceCut::find(Family::kIpv4, rules, policy));
}

TEST(ServiceCut, DestinationsThatNobodyCanReadAreNotCut) {
  Dice dice(65);
  const policy::Policy policy = large_policy(1'500, dice);
  for (const Target& target : {Target(OpaqueTarget{"TPROXY", 0, {}, {}}),
                               Target(Dnat{IpAddress::v4(127, 0, 0, 5), IpAddress::v4(127, 0, 0, 5), {}, false, false}),
                               Target(Redirect{PortRange{1'000, 2'000}, false})}) {
    RuleSet rules = policy::lower(policy);
    Rule rule;
    rule.target = target;
    rules.find(Family::kIpv4, TableName::kNat)->find("OUTPUT")->rules.push_back(rule);
    EXPECT_FALSE(ServiceCut::find(Family::kIpv4, rules, policy)) << target_name(target);
  }
}

/// The rule that jumps to a tree is wrong: the trees are cut out, and the rest is what the proof looks at.
TEST(ServiceCut, WrongWaysIntoATreeAreFound) {
  Dice dice(66);
  const policy::Policy policy = large_policy(1'500, dice);
  struct Mistake {
    const char* name;
    void (*make)(Chain& output, size_t denials, size_t grants);
  };
  const Mistake mistakes[] = {
      {"grants before denials", [](Chain& c, size_t d, size_t g) { std::swap(c.rules[d], c.rules[g]); }},
      {"no loopback asked", [](Chain& c, size_t, size_t g) { c.rules[g].header.out = {}; }},
      {"no SYN and no state asked", [](Chain& c, size_t, size_t g) { c.rules[g].matches.clear(); }},
      {"denials left out",
       [](Chain& c, size_t d, size_t) { c.rules.erase(c.rules.begin() + static_cast<ptrdiff_t>(d)); }},
      {"grants left out",
       [](Chain& c, size_t, size_t g) { c.rules.erase(c.rules.begin() + static_cast<ptrdiff_t>(g)); }},
  };
  for (const Mistake& mistake : mistakes) {
    RuleSet rules = policy::lower(policy);
    Chain& output = *rules.find(Family::kIpv4, TableName::kFilter)->find("OUTPUT");
    const auto jump_to = [&](const char* name) {
      return static_cast<size_t>(std::ranges::find_if(output.rules,
                                                      [&](const Rule& rule) {
                                                        const auto* jump = std::get_if<Jump>(&rule.target);
                                                        return jump != nullptr && jump->chain == name;
                                                      }) -
                                 output.rules.begin());
    };
    mistake.make(output, jump_to("no-tcp"), jump_to("lo-tcp"));
    EXPECT_FALSE(holds_by_class(rules, policy)) << mistake.name;
  }
}

/// Boxes of a set mean what the evaluator says of the tree: here by packets on every edge of every box.
TEST(Boxes, AreWhatTheEvaluatorSaysAtEveryEdge) {
  Dice dice(67);
  const policy::Policy policy = large_policy(800, dice);
  const RuleSet rules = policy::lower(policy);
  const Table& filter = *rules.find(Family::kIpv4, TableName::kFilter);
  const Chains chains(filter);
  const auto plain = read_plain_chain(chains, chains.find("lo-udp"), protocol::kUdp, true);
  ASSERT_TRUE(plain);
  ASSERT_TRUE(std::holds_alternative<Accept>(plain->target));
  // The tree alone, as OUTPUT of a rule set of its own.
  RuleSet alone;
  alone.tables = {filter};
  Chain& output = *alone.tables[0].find("OUTPUT");
  output.rules.clear();
  Rule into;
  into.header.protocol = protocol::kUdp;
  into.target = Jump{"lo-udp", false};
  output.rules.push_back(into);
  const Evaluator evaluator(alone);

  size_t packets = 0;
  for (const Box& edge : plain->boxes) {
    for (const int off : {-1, 0, 1}) {
      for (const bool at_last : {false, true}) {
        Packet packet;
        packet.hook = Hook::kOutput;
        packet.protocol = protocol::kUdp;
        packet.out = kLoopbackInterface;
        packet.source = kLoopbackV4;
        packet.destination = edge.destination.address();
        packet.uid = Uid{static_cast<uint32_t>(edge.users.first)};
        packet.source_port = static_cast<Port>(std::min<uint64_t>(edge.source_ports.first, 65535));
        packet.destination_port = static_cast<Port>(
            std::clamp<int64_t>(static_cast<int64_t>(at_last ? edge.ports.last : edge.ports.first) + off, 0, 65535));
        const bool is_in_a_box = std::ranges::any_of(plain->boxes, [&](const Box& box) {
          const auto in = [](const Interval& i, uint64_t v) { return i.first <= v && v <= i.last; };
          return in(box.users, packet.uid->value) && box.destination.contains(packet.destination) &&
                 in(box.source_ports, packet.source_port) && in(box.ports, packet.destination_port);
        });
        ASSERT_EQ(evaluator.evaluate(packet).verdict == Verdict::kAccept, is_in_a_box)
            << tails::testing::describe(packet);
        ++packets;
      }
    }
  }
  EXPECT_GT(packets, 1'000U);
}

TEST(Boxes, EqualSetsHaveOneCanonicalForm) {
  Box box = Box::all(Family::kIpv4);
  box.destination = Prefix::host(kLoopbackV4);
  box.users = {1000, 1000};
  const auto part = [&](PortRange from, PortRange to) { return box.with_ports(from, to); };
  // Ports in pieces; and a source range that another one covers.
  const auto whole = canonical({part({}, {10, 30})});
  EXPECT_EQ(canonical({part({}, {20, 30}), part({}, {10, 19})}), whole);
  EXPECT_EQ(canonical({part({}, {10, 30}), part({500, 600}, {15, 15})}), whole);
  EXPECT_EQ(canonical({part({0, 999}, {10, 30}), part({1000, 65535}, {10, 30})}), whole);
  EXPECT_NE(canonical({part({1, 65535}, {10, 30})}), whole);
  EXPECT_NE(canonical({part({}, {10, 31})}), whole);
  // Every port is less than every packet: later fragments have none.
  EXPECT_NE(canonical({part({}, {})}), canonical({box}));
}

}  // namespace
}  // namespace tails::proof
