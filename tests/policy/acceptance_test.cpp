// The upstream acceptance checks for the `tails` profile. Upstream reads the kernel's rules through iptables-xml; here
// the same questions are asked of the lowered rules.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "policy/lower.h"
#include "ruleset/text_writer.h"
#include "tests/policy/fixed_environment.h"
#include "tests/policy/generators.h"

namespace tails::testing {
namespace {

using namespace ruleset;

class UpstreamCheck : public ::testing::Test {
 protected:
  const RuleSet rules_ = policy::lower(profile("tails"));
  const Table& filter_ = *rules_.find(Family::kIpv4, TableName::kFilter);
  const Table& filter_v6_ = *rules_.find(Family::kIpv6, TableName::kFilter);
  const Table& nat_ = *rules_.find(Family::kIpv4, TableName::kNat);

  template <class Kind>
  static const Kind* find(const Rule& rule) {
    for (const Match& match : rule.matches) {
      if (const auto* found = std::get_if<Kind>(&match)) return found;
    }
    return nullptr;
  }
  static bool says_no(const Target& target) {
    return std::holds_alternative<Drop>(target) || std::holds_alternative<Reject>(target) ||
           std::holds_alternative<Log>(target);
  }
};

TEST_F(UpstreamCheck, PoliciesDrop) {
  for (const Table* table : {&filter_, &filter_v6_}) {
    for (const char* chain : {"INPUT", "OUTPUT", "FORWARD"}) EXPECT_EQ(table->find(chain)->policy, ChainPolicy::kDrop);
  }
}

TEST_F(UpstreamCheck, OnlyClearnetAndTorReachTheInternet) {
  const policy::UserMap users = profile_users();
  const std::set<uint32_t> expected = {users.at("clearnet").value, users.at("debian-tor").value};
  const std::vector<Prefix> lan = {*Prefix::parse("10.0.0.0/8"), *Prefix::parse("172.16.0.0/12"),
                                   *Prefix::parse("192.168.0.0/16")};
  std::set<uint32_t> allowed;
  for (const Rule& rule : filter_.find("OUTPUT")->rules) {
    const InterfaceTest& out = rule.header.out;
    const bool may_leave = out.is_any() || (out.view() == "lo" && out.inverted);
    if (says_no(rule.target) || !may_leave) continue;
    const std::string text = write_rule(Family::kIpv4, "OUTPUT", rule);
    if (const auto* jump = std::get_if<Jump>(&rule.target)) {
      if (jump->chain == "log_reject") continue;
      EXPECT_EQ(jump->chain, "lan") << text;
      EXPECT_TRUE(std::ranges::any_of(lan, [&](const Prefix& net) {
        return rule.header.destination == AddressTest::in(net);
      })) << text;
      continue;
    }
    EXPECT_TRUE(std::holds_alternative<Accept>(rule.target)) << text;
    EXPECT_TRUE(rule.header.destination.is_any()) << text;
    const auto* state = find<StateMatch>(rule);
    ASSERT_NE(state, nullptr) << text;
    if (state->states == StateSet(ConnState::kEstablished) && !state->inverted) continue;
    const auto* owner = find<OwnerMatch>(rule);
    ASSERT_NE(owner, nullptr) << text;
    ASSERT_EQ(owner->uid->first, owner->uid->last);
    EXPECT_FALSE(owner->uid->inverted);
    EXPECT_TRUE(expected.contains(owner->uid->first)) << text;
    allowed.insert(owner->uid->first);
  }
  EXPECT_EQ(allowed, expected);
}

TEST_F(UpstreamCheck, NatOnlyRedirectsToTorAndMasqueradesTheUnsafeBrowser) {
  const auto texts = [&](const char* chain) {
    std::vector<std::string> result;
    for (const Rule& rule : nat_.find(chain)->rules) result.push_back(write_rule(Family::kIpv4, chain, rule));
    return result;
  };
  EXPECT_EQ(texts("OUTPUT"),
            (std::vector<std::string>{
                "-A OUTPUT -d 127.192.0.0/10 -p tcp -m owner --uid-owner 1000 -j REDIRECT --to-ports 9040",
                "-A OUTPUT -d 127.0.0.1/32 -p udp -m udp --dport 53 -j REDIRECT --to-ports 5353"}));
  EXPECT_EQ(texts("POSTROUTING"), std::vector<std::string>{"-A POSTROUTING -s 10.200.1.16/30 -j MASQUERADE"});
  EXPECT_TRUE(nat_.find("PREROUTING")->rules.empty());
  EXPECT_TRUE(nat_.find("INPUT")->rules.empty());
  EXPECT_EQ(rules_.find(Family::kIpv6, TableName::kNat), nullptr);
}

TEST_F(UpstreamCheck, Ipv6StaysOnLoopback) {
  const AddressTest self = AddressTest::in(Prefix::host(kLoopbackV6));
  for (const Chain& chain : filter_v6_.chains) {
    EXPECT_TRUE(chain.is_builtin()) << chain.name;
    for (const Rule& rule : chain.rules) {
      const bool is_self = rule.header.source == self && rule.header.destination == self;
      EXPECT_TRUE(says_no(rule.target) || is_self) << write_rule(Family::kIpv6, chain.name, rule);
    }
  }
}

TEST_F(UpstreamCheck, BlockedPacketsAreLoggedWithTheirUserAndRefused) {
  const std::vector<Rule>& blocked = filter_.find("log_reject")->rules;
  ASSERT_EQ(blocked.size(), 2U);
  EXPECT_EQ(blocked[0].target, Target(Log{7, Log::kUid, "Dropped outbound packet: "}));
  EXPECT_EQ(blocked[1].target, Target(Reject{Reject::kPortUnreachableV4}));
  const std::vector<Rule>& blocked_v6 = filter_v6_.find("OUTPUT")->rules;
  EXPECT_EQ(blocked_v6[blocked_v6.size() - 2].target, Target(Log{7, Log::kUid, "Dropped outbound packet: "}));
  EXPECT_EQ(blocked_v6.back().target, Target(Reject{Reject::kPortUnreachableV6}));
}

// The benchmark against iptables-restore is won by having little to say.
TEST_F(UpstreamCheck, TheDefaultProfileStaysSmall) {
  size_t count = 0;
  for (const Table& table : rules_.tables) count += table.rule_count();
  EXPECT_LE(count, 90U);
}

}  // namespace
}  // namespace tails::testing
