#include "proof/difference.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "policy/lower.h"
#include "ruleset/text_reader.h"
#include "ruleset/text_writer.h"
#include "tests/policy/generators.h"
#include "tests/proof/random_rules.h"

namespace tails::proof {
namespace {

using namespace ruleset;
using tails::testing::describe;
using tails::testing::profile;
using testing::Doubts;
using testing::RandomRules;

RuleSet read(std::string_view text) {
  auto rules = read_save(text, Family::kIpv4, "test.rules");
  EXPECT_TRUE(rules) << rules.error().message;
  return std::move(*rules);
}

/// The rules of OUTPUT, between a policy DROP and COMMIT.
RuleSet output(const std::string& rules, const std::string& chains = "") {
  return read("*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [0:0]\n" + chains + rules + "COMMIT\n");
}

Comparison compared(const RuleSet& a, const RuleSet& b) {
  Familiar familiar = Familiar::plain();
  familiar.add(a);
  familiar.add(b);
  auto comparison = compare(a, b, familiar);
  EXPECT_TRUE(comparison);
  return std::move(*comparison);
}

TEST(Difference, OrderAndChainsDoNotMatter) {
  const RuleSet flat = output(
      "-A OUTPUT -o lo -p tcp -m tcp --dport 9050 -m owner --uid-owner 42 -j ACCEPT\n"
      "-A OUTPUT -o lo -p tcp -m tcp --dport 9062 -m owner --uid-owner 111 -j ACCEPT\n"
      "-A OUTPUT -o lo -j REJECT\n"
      "-A OUTPUT -p udp -m udp --dport 53 -j ACCEPT\n");
  const RuleSet layered = output(
      "-A OUTPUT -p udp -m udp --dport 53 -g dns\n"
      "-A OUTPUT -o lo -j local\n"
      "-A dns ! -o lo -j ACCEPT\n"
      "-A local -p tcp -m tcp --dport 9062 -m owner --uid-owner 111 -j ACCEPT\n"
      "-A local -p tcp -m tcp --dport 9050 -m owner ! --uid-owner 42 -j REJECT\n"
      "-A local -p tcp -m tcp --dport 9050 -m owner --socket-exists -j ACCEPT\n"
      "-A local -j REJECT\n",
      ":dns - [0:0]\n:local - [0:0]\n");
  // Only UDP port 53 by loopback differs: `dns` drops where the flat rules reject.
  const Comparison comparison = compared(flat, layered);
  ASSERT_EQ(comparison.differences.size(), 1U);
  const Difference& only = comparison.differences.front();
  EXPECT_EQ(only.packet.destination_port, 53);
  EXPECT_EQ(only.a.verdict, Verdict::kReject);
  EXPECT_EQ(only.b.verdict, Verdict::kDrop);

  const RuleSet same = output(
      "-A OUTPUT ! -o lo -p udp -m udp --dport 53 -g dns\n"
      "-A OUTPUT -o lo -j local\n"
      "-A dns -j ACCEPT\n"
      "-A local -p tcp -m tcp --dport 9062 -m owner --uid-owner 111 -j ACCEPT\n"
      "-A local -p tcp -m tcp --dport 9050 -m owner --uid-owner 42 -j ACCEPT\n"
      "-A local -j REJECT\n",
      ":dns - [0:0]\n:local - [0:0]\n");
  EXPECT_TRUE(compared(flat, same).is_same());
}

TEST(Difference, LayoutsOfOnePolicyAreTheSame) {
  for (const char* name : {"tails", "tails-i2p", "tails-classic"}) {
    const policy::Policy policy = profile(name);
    const RuleSet plain = policy::lower(policy, policy::Layout::kPlain);
    const RuleSet dispatch = policy::lower(policy, policy::Layout::kDispatch);
    EXPECT_NE(write_save(plain, Family::kIpv4), write_save(dispatch, Family::kIpv4)) << name;
    EXPECT_TRUE(compare(plain, dispatch, Familiar::of(policy))->is_same()) << name;
  }
}

TEST(Difference, OneMasqueradeIsOneLineForEachHook) {
  const policy::Policy policy = profile("tails");
  const RuleSet whole = policy::lower(policy);
  RuleSet wider = whole;
  ruleset::AddressTest& source =
      wider.find(Family::kIpv4, TableName::kNat)->find("POSTROUTING")->rules.front().header.source;
  source.mask = mask_of(Family::kIpv4, 24);
  source.address = source.address & source.mask;
  const auto comparison = compare(whole, wider, Familiar::of(policy));
  ASSERT_EQ(comparison->differences.size(), 2U);
  for (const Difference& d : comparison->differences) EXPECT_EQ(d.kind, Difference::Kind::kSource);
}

TEST(Difference, OneDroppedRuleIsOneLine) {
  const policy::Policy policy = profile("tails");
  const RuleSet whole = policy::lower(policy);
  RuleSet less = whole;
  Chain& output = *less.find(Family::kIpv4, TableName::kFilter)->find("OUTPUT");
  const auto is_socks_of_proxy = [](const Rule& rule) {
    const std::string text = write_rule(Family::kIpv4, "OUTPUT", rule);
    return text.find("--dport 9050") != std::string::npos && text.find("--uid-owner 13") != std::string::npos;
  };
  ASSERT_EQ(std::erase_if(output.rules, is_socks_of_proxy), 1U);
  const auto comparison = compare(whole, less, Familiar::of(policy));
  ASSERT_EQ(comparison->differences.size(), 1U);
  const Difference& only = comparison->differences.front();
  EXPECT_EQ(describe(only.packet),
            "OUTPUT proto 6 [127.0.0.1]:40000 -> [127.0.0.1]:9050 in '' out 'lo' uid 13 state 8 original flags 0x2");
  EXPECT_EQ(only.a.verdict, Verdict::kAccept);
  EXPECT_EQ(only.b.verdict, Verdict::kReject);
  EXPECT_EQ(whole.origin(only.a.decided_by.origin())->entry, "service \"Tor SOCKS\"");
}

TEST(Difference, OfTwoProfilesIsAHandfulOfEntries) {
  const policy::Policy today = profile("tails");
  const policy::Policy i2p = profile("tails-i2p");
  const auto comparison = compare(policy::lower(today), policy::lower(i2p), Familiar::of(today), 100);
  EXPECT_FALSE(comparison->has_more);
  EXPECT_GT(comparison->differences.size(), 10U);
  EXPECT_LT(comparison->differences.size(), 60U);
  for (const Difference& d : comparison->differences) {
    EXPECT_TRUE(d.a.verdict != d.b.verdict || d.a.redirected_to != d.b.redirected_to ||
                d.kind == Difference::Kind::kSource)
        << describe(d.packet);
  }
}

TEST(Difference, AnotherDestinationIsOne) {
  const std::string filter = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
  const auto nat = [&](const std::string& rule) {
    return read("*nat\n:OUTPUT ACCEPT [0:0]\n" + rule + "COMMIT\n" + filter);
  };
  const RuleSet redirect = nat("-A OUTPUT -d 127.192.0.0/10 -p tcp -j REDIRECT --to-ports 9040\n");
  const RuleSet dnat = nat("-A OUTPUT -d 127.192.0.0/10 -p tcp -j DNAT --to-destination 127.0.0.1:9040\n");
  const RuleSet elsewhere = nat("-A OUTPUT -d 127.192.0.0/10 -p tcp -j REDIRECT --to-ports 9050\n");
  const RuleSet nowhere =
      nat("-A OUTPUT -d 192.0.2.1 -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.0.2.1:80\n");
  EXPECT_TRUE(compared(redirect, dnat).is_same());
  EXPECT_TRUE(compared(nowhere, nat("")).is_same());
  const Comparison comparison = compared(redirect, elsewhere);
  ASSERT_EQ(comparison.differences.size(), 1U);
  EXPECT_EQ(comparison.differences.front().kind, Difference::Kind::kDestination);
  EXPECT_EQ(comparison.differences.front().a.redirected_to->port, 9040);
  EXPECT_EQ(comparison.differences.front().b.redirected_to->port, 9050);
}

// Where both sides let a packet through, the classes once were those of the first side's rules alone.
TEST(Difference, OfDestinationsIsTheSameFromBothSides) {
  const RuleSet two_rules = read(
      "*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080\nCOMMIT\n"
      "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [0:0]\n"
      "-A OUTPUT -m owner --uid-owner 1000 -j ACCEPT\n-A OUTPUT -j ACCEPT\nCOMMIT\n");
  const RuleSet one_rule = output("-A OUTPUT -j ACCEPT\n");
  const Comparison there = compared(two_rules, one_rule);
  const Comparison back = compared(one_rule, two_rules);
  ASSERT_EQ(there.differences.size(), 2U);
  ASSERT_EQ(back.differences.size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(there.differences[i].kind, Difference::Kind::kDestination);
    EXPECT_EQ(describe(there.differences[i].packet), describe(back.differences[i].packet));
  }
}

TEST(Difference, AMissingMasqueradeIsOne) {
  const std::string filter = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n";
  const RuleSet with =
      read("*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -s 10.200.1.16/30 -j MASQUERADE\nCOMMIT\n" + filter);
  const Comparison comparison = compared(with, read(filter));
  ASSERT_EQ(comparison.differences.size(), 1U);
  EXPECT_EQ(comparison.differences.front().kind, Difference::Kind::kSource);
  EXPECT_EQ(comparison.differences.front().packet.hook, Hook::kForward);
  EXPECT_EQ(to_string(comparison.differences.front().packet.source), "10.200.1.17");
}

TEST(Difference, UnreadableMatchesEqualThemselves) {
  const std::string recent = "-A OUTPUT -p tcp -m recent --name x --rcheck -j ACCEPT\n";
  const std::string set = "-A OUTPUT -p udp -m set --match-set x dst -j ACCEPT\n";
  EXPECT_TRUE(compared(output(recent + set), output(set + recent)).is_same());
  const Comparison other = compared(output(recent), output("-A OUTPUT -p tcp -m recent --name y --rcheck -j ACCEPT\n"));
  ASSERT_EQ(other.differences.size(), 1U);
  EXPECT_EQ(other.differences.front().kind, Difference::Kind::kUnknown);
  EXPECT_EQ(other.differences.front().a.verdict, Verdict::kUnknown);
}

TEST(Difference, FindsWhatRandomPacketsFind) {
  int differing = 0;
  for (uint32_t seed = 0; seed < 300; ++seed) {
    RandomRules random(seed);
    const Family family = seed % 4 == 0 ? Family::kIpv6 : Family::kIpv4;
    const RuleSet a = random.rule_set(family, {}, 5);
    const RuleSet b = random.variant(a, family, {});
    const Comparison comparison = compared(a, b);
    for (const Difference& d : comparison.differences) {
      const bool differs =
          d.kind == Difference::Kind::kSource || d.a.verdict != d.b.verdict || d.a.redirected_to != d.b.redirected_to;
      EXPECT_TRUE(differs) << "seed " << seed << " " << describe(d.packet);
    }
    differing += comparison.is_same() ? 0 : 1;
    if (!comparison.is_same()) continue;
    const Evaluator evaluate_a(a);
    const Evaluator evaluate_b(b);
    for (int i = 0; i < 1000; ++i) {
      Packet packet = random.packet(family, static_cast<Hook>(i % 3));
      if (packet.state == ConnState::kNew) packet.direction = Direction::kOriginal;
      if (packet.state == ConnState::kInvalid || packet.state == ConnState::kUntracked) packet.recorded_nat.reset();
      if (packet.direction == Direction::kReply) packet.recorded_nat.reset();
      packet.status = packet.state == ConnState::kEstablished ? packet.status | 2U : packet.status & ~2U;
      packet.source_type = packet.destination_type = AddressType::kUnicast;
      if (kLoopbackNetV4.contains(packet.destination) || packet.destination == kLoopbackV6)
        packet.destination_type = AddressType::kLocal;
      if (kLoopbackNetV4.contains(packet.source) || packet.source == kLoopbackV6)
        packet.source_type = AddressType::kLocal;
      const auto kind = [](const IpAddress& address) {
        return address.family == Family::kIpv4 ? address.v4_bits() >> 28 == 14 : address.high >> 56 == 0xff;
      };
      if (kind(packet.destination)) packet.destination_type = AddressType::kMulticast;
      if (kind(packet.source)) packet.source_type = AddressType::kMulticast;
      ASSERT_EQ(evaluate_a.evaluate(packet).verdict, evaluate_b.evaluate(packet).verdict)
          << "seed " << seed << " " << describe(packet) << "\n"
          << write_save(a, family) << write_save(b, family);
    }
  }
  EXPECT_GT(differing, 40);
  EXPECT_LT(differing, 250);
}

}  // namespace
}  // namespace tails::proof
