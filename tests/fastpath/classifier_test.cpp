// Every structure says of every packet what the evaluator says of it.
#include <gtest/gtest.h>

#include <string>

#include "fastpath/wire_rules.h"
#include "policy/lower.h"
#include "ruleset/text_reader.h"
#include "tests/fastpath/structures.h"
#include "tests/policy/dice.h"
#include "tests/policy/generators.h"

namespace tails::fastpath {
namespace {

using testing::Dice;

/// Compares every structure that can hold the rules, on the same packets; the number of structures that could.
size_t expect_structures_agree(const ruleset::RuleSet& rules, const WireView& view, uint64_t seed, size_t packets) {
  const Comparison comparison = compare_structures(rules, view, seed, packets);
  EXPECT_FALSE(comparison.difference) << *comparison.difference;
  return comparison.structures.size();
}

void expect_profile_agrees(std::string_view name) {
  const policy::Policy policy = testing::profile(name);
  EXPECT_EQ(expect_structures_agree(policy::lower(policy), view_of(policy), testing::seed_or(11), 1'000'000), 3 + kAcl);
}

TEST(Classifier, SaysWhatTheTailsProfileSays) { expect_profile_agrees("tails"); }
TEST(Classifier, SaysWhatTheI2pProfileSays) { expect_profile_agrees("tails-i2p"); }
TEST(Classifier, SaysWhatTheClassicProfileSays) { expect_profile_agrees("tails-classic"); }

TEST(Classifier, SaysWhatRandomPoliciesSay) {
  Dice dice(testing::seed_or(12));
  for (unsigned i = 0; i < 60; ++i) {
    const policy::Policy policy = testing::random_policy(dice);
    EXPECT_EQ(expect_structures_agree(policy::lower(policy), view_of(policy), dice.bits(), 5'000), 3 + kAcl);
    if (::testing::Test::HasFailure()) return;
  }
}

/// The long form is scripts/differential: 100 policies of up to 10,000 entries, a million packets for each.
TEST(Classifier, SaysWhatRandomPoliciesOfHundredsOfEntriesSay) {
  Dice dice(testing::seed_or(13));
  for (unsigned i = 0; i < 2; ++i) {
    const policy::Policy policy = large_policy(dice, 300);
    EXPECT_GE(expect_structures_agree(policy::lower(policy), view_of(policy), dice.bits(), 500), 2U);
    if (::testing::Test::HasFailure()) return;
  }
}

ruleset::RuleSet from_text(std::string_view text) {
  auto rules = ruleset::read_save(text, Family::kIpv4, "test");
  EXPECT_TRUE(rules) << rules.error().message;
  return std::move(*rules);
}

TEST(Classifier, FollowsReturnGotoInversionAndMultiport) {
  const ruleset::RuleSet rules = from_text(
      "*filter\n"
      ":INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n:a -\n:b -\n:c -\n"
      "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n"
      "-A INPUT ! -s 10.0.0.0/8 -p udp -m udp --dport 68 -j c\n"
      "-A OUTPUT -d 10.0.0.0/8 -j a\n"
      "-A OUTPUT -p tcp -m multiport ! --dports 80,443,8000:8100 -j REJECT\n"
      "-A OUTPUT -p udp -m multiport --ports 53,5353 -j c\n"
      "-A OUTPUT ! -d 192.0.2.0/24 -p icmp -m icmp ! --icmp-type 8/0 -j DROP\n"
      "-A OUTPUT -m state --state INVALID -j DROP\n"
      "-A a -p udp -j RETURN\n"
      "-A a ! -d 10.1.0.0/16 -g b\n"
      "-A a -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j DROP\n"
      "-A a -j ACCEPT\n"
      "-A b -d 10.2.0.0/16 -j RETURN\n"
      "-A b -p tcp -m tcp --sport 1024:65535 ! --dport 22:23 -j DROP\n"
      "-A b -m owner --uid-owner 1000-1005 -j ACCEPT\n"
      "-A b -m owner ! --uid-owner 7 -j REJECT\n"
      "-A c -s 172.16.0.0/12 -j ACCEPT\n"
      "-A c -j RETURN\n"
      "COMMIT\n");
  WireView view;
  view.owners = {{3, Uid{1003}, "a"},
                 {7, Uid{7}, "b"},
                 {9, ForwardedGuest{*InterfaceName::make("veth-x"), IpAddress::v4(10, 1, 2, 3)}, "guest"}};
  // Looks at sources: only rte_acl and the scan can hold it.
  EXPECT_EQ(expect_structures_agree(rules, view, 5, 300'000), 1 + kAcl);
}

TEST(Classifier, HoldsManyKindsManyOwnersAndManyColumns) {
  std::string text = "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT DROP\n";
  WireView view;
  for (unsigned tag = 1; tag < 64; ++tag) {
    const std::string uid = std::to_string(1000 + tag);
    view.owners.push_back({static_cast<uint8_t>(tag), Uid{1000 + tag}, uid});
    text += "-A OUTPUT -p tcp -m tcp --dport " + std::to_string(tag * 100) + ":" + std::to_string(tag * 100 + 250) +
            " -m owner --uid-owner " + uid + " -j ACCEPT\n";
    if (tag % 2 == 0)
      text += "-A OUTPUT -d 192.0.2." + std::to_string(tag) + " -m owner --uid-owner " + uid + " -j REJECT\n";
    if (tag < 50)
      text += "-A OUTPUT -p " + std::to_string(150 + tag) + " -d 198.51.100.0/24 -m state --state NEW -j ACCEPT\n";
  }
  text += "COMMIT\n";
  // rte_acl may find them too many.
  EXPECT_GE(expect_structures_agree(from_text(text), view, 6, 300'000), 3U);
}

TEST(Classifier, HoldsTenThousandRules) {
  Dice dice(8);
  EXPECT_GE(expect_structures_agree(random_grants(dice, 10'000, 20, 8), eight_users(), 9, 20'000), 2U);
}

TEST(Classifier, HoldsRulesThatAllOverlap) {
  Dice dice(8);
  EXPECT_GE(expect_structures_agree(random_grants(dice, 1'000, 0, 1), eight_users(), 10, 20'000), 2U);
}

TEST(Classifier, AnAbsentTableAccepts) {
  EXPECT_EQ(expect_structures_agree(ruleset::RuleSet(), WireView(), 3, 10'000), 3 + kAcl);
}

TEST(WireRules, RefusesWhatAWireCannotTellAndNamesTheRule) {
  const auto error = [](std::string_view rule) {
    const auto wire =
        compile(from_text("*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT DROP\n" + std::string(rule) + "\nCOMMIT\n"),
                WireView());
    return wire ? "" : wire.error().message;
  };
  EXPECT_EQ(error("-A OUTPUT -m mark --mark 0x1 -j ACCEPT"),
            "the wire filter cannot enforce \"-A OUTPUT -m mark --mark 0x1 -j ACCEPT\": it tests a mark");
  EXPECT_EQ(error("-A OUTPUT -m limit --limit 5/sec -j ACCEPT"),
            "the wire filter cannot enforce \"-A OUTPUT -m limit --limit 5/sec -j ACCEPT\": it tests a rate limit");
  EXPECT_EQ(error("-A OUTPUT -m bpf --bytecode \"1,6 0 0 0\" -j ACCEPT"),
            "the wire filter cannot enforce \"-A OUTPUT -m bpf --bytecode \"1,6 0 0 0\" -j ACCEPT\": it tests an "
            "unknown match");
  // What only logs, or is never met on the wire, may test anything.
  EXPECT_EQ(error("-A OUTPUT -m limit --limit 5/sec -j LOG"), "");
  EXPECT_EQ(error("-A OUTPUT -o lo -m mark --mark 0x1 -j ACCEPT"), "");
}

TEST(WireRules, RefusesOtherTablesThatBlockOrSendElsewhere) {
  const auto error = [](std::string_view text) {
    const auto wire = compile(from_text(text), WireView());
    return wire ? "" : wire.error().message;
  };
  EXPECT_EQ(
      error("*mangle\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT DROP\n:POSTROUTING ACCEPT\nCOMMIT\n"),
      "the wire filter cannot enforce \"-P OUTPUT DROP\" in table \"mangle\": only filter may block");
  EXPECT_EQ(error("*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n"
                  "-A OUTPUT -d 192.0.2.1/32 -j DNAT --to-destination 192.0.2.2\nCOMMIT\n"),
            "the wire filter cannot enforce \"-A OUTPUT -d 192.0.2.1/32 -j DNAT --to-destination 192.0.2.2\" in table "
            "\"nat\": only filter may block, and only loopback be redirected");
  EXPECT_EQ(error("*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n"
                  "-A OUTPUT -d 127.192.0.0/10 -p tcp -j REDIRECT --to-ports 9040\nCOMMIT\n"),
            "");
}

}  // namespace
}  // namespace tails::fastpath
