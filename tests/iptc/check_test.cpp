// What no kernel takes is refused by name, before any table is touched; and what stands just inside the limit is not.
#include "iptc/check.h"

#include <gtest/gtest.h>

#include "tests/iptc/made_rule.h"

namespace tails::iptc {
namespace {

using ruleset::Accept;
using ruleset::Match;
using ruleset::Rule;
using ruleset::Table;
using ruleset::TableName;

Rule rule_if(Match match, uint8_t protocol = 0) { return rule(Accept{}, {std::move(match)}, protocol); }

Table table_with(Rule rule, std::string_view chain = "OUTPUT", TableName name = TableName::kFilter,
                 Family family = Family::kIpv4) {
  Table table = Table::open(family, name);
  table.find(chain)->rules.push_back(std::move(rule));
  return table;
}

/// An open filter table with chains of its own, each with one rule: a jump to another.
Table with_chains(const std::vector<std::pair<std::string, std::string>>& jumps) {
  Table table = Table::open(Family::kIpv4, TableName::kFilter);
  for (const auto& [from, to] : jumps) {
    if (table.find(from) == nullptr) table.chains.push_back({from, std::nullopt, {}, {}, ruleset::kNoOrigin});
    if (!to.empty()) table.find(from)->rules.push_back(rule(ruleset::Jump{to}));
  }
  return table;
}

/// Empty where the rules are accepted.
std::string refusal(const Table& table) {
  const auto checked = check(ruleset::RuleSet{{table}, {}});
  return checked ? "" : checked.error().message;
}

constexpr const char* kAccepted = "";
const std::string kHere = "rule 1 of chain OUTPUT in table \"filter\" of IPv4: ";

TEST(Check, ChainsHaveNamesThatAJumpCanHold) {
  EXPECT_EQ(refusal(with_chains({{std::string(28, 'x'), ""}})), kAccepted);
  EXPECT_EQ(
      refusal(with_chains({{std::string(29, 'x'), ""}})),
      "chain name \"" + std::string(29, 'x') + "\" in table \"filter\" of IPv4 has 29 bytes; the kernel holds 1 to 28");
  EXPECT_EQ(refusal(with_chains({{"", ""}})),
            "chain name \"\" in table \"filter\" of IPv4 has 0 bytes; the kernel holds 1 to 28");
  for (const std::string name : {"two words", "del\x7f", "\xc3\xbc"}) {
    EXPECT_EQ(refusal(with_chains({{name, ""}})),
              "chain name \"" + name + "\" in table \"filter\" of IPv4 is not printable");
  }
  EXPECT_EQ(refusal(with_chains({{"MASQUERADE", ""}})),
            "chain \"MASQUERADE\" in table \"filter\" of IPv4 bears the name of a target");
}

TEST(Check, BuiltInChainsAndNoOthersHaveAPolicy) {
  Table table = with_chains({{"mine", ""}});
  table.find("mine")->policy = ruleset::ChainPolicy::kDrop;
  EXPECT_EQ(refusal(table), "chain \"mine\" in table \"filter\" of IPv4 is not built in and has no policy");
  table = with_chains({});
  table.find("INPUT")->policy.reset();
  EXPECT_EQ(refusal(table), "chain \"INPUT\" in table \"filter\" of IPv4 is built in and needs a policy");
  table = with_chains({{"mine", ""}});
  table.chains.push_back(*table.find("mine"));
  EXPECT_EQ(refusal(table), "chain \"mine\" is twice in table \"filter\" of IPv4");
}

TEST(Check, JumpsLeadToChainsOfTheTableAndNeverBack) {
  EXPECT_EQ(refusal(with_chains({{"OUTPUT", "gone"}})),
            "rule 1 of chain OUTPUT in table \"filter\" of IPv4 jumps to chain \"gone\", which is not there");
  EXPECT_EQ(refusal(with_chains({{"OUTPUT", "INPUT"}})),
            "rule 1 of chain OUTPUT in table \"filter\" of IPv4 jumps to chain \"INPUT\", which is built in");
  EXPECT_EQ(refusal(with_chains({{"a", "b"}, {"b", "a"}, {"OUTPUT", "b"}})),
            "chain \"b\" in table \"filter\" of IPv4 leads back to itself");
  // Two ways to one place are no way back.
  EXPECT_EQ(refusal(with_chains({{"d", ""}, {"b", "d"}, {"c", "d"}, {"OUTPUT", "b"}, {"OUTPUT", "c"}, {"INPUT", "b"}})),
            kAccepted);
}

TEST(Check, MatchesAndTargetsStandWhereTheKernelLetsThem) {
  const Rule owned = rule_if(ruleset::OwnerMatch::is(Uid{1000}));
  EXPECT_EQ(refusal(table_with(owned)), kAccepted);
  EXPECT_EQ(refusal(table_with(owned, "INPUT")),
            "rule 1 of chain INPUT in table \"filter\" of IPv4: match \"owner\" cannot be reached from INPUT");
  // By a chain between as well.
  Table table = with_chains({{"ours", ""}, {"INPUT", "ours"}, {"FORWARD", "ours"}, {"OUTPUT", "ours"}});
  table.find("ours")->rules.push_back(owned);
  EXPECT_EQ(refusal(table),
            "rule 1 of chain ours in table \"filter\" of IPv4: match \"owner\" cannot be reached from INPUT, FORWARD");

  EXPECT_EQ(refusal(table_with(rule(ruleset::Reject{3}), "OUTPUT", TableName::kNat)),
            "rule 1 of chain OUTPUT in table \"nat\" of IPv4: target \"REJECT\" stands in table \"filter\" only");
  EXPECT_EQ(refusal(table_with(rule(ruleset::Redirect{}))), kHere + "target \"REDIRECT\" stands in table \"nat\" only");
  EXPECT_EQ(refusal(table_with(rule(ruleset::Masquerade{}), "OUTPUT", TableName::kNat)),
            "rule 1 of chain OUTPUT in table \"nat\" of IPv4: target \"MASQUERADE\" cannot be reached from OUTPUT");
  EXPECT_EQ(refusal(table_with(rule(ruleset::Masquerade{}), "POSTROUTING", TableName::kNat)), kAccepted);
}

TEST(Check, PortsNeedTheirProtocol) {
  EXPECT_EQ(refusal(table_with(rule_if(ruleset::TcpMatch{}, protocol::kTcp))), kAccepted);
  for (const uint8_t other : {uint8_t{0}, protocol::kUdp}) {
    EXPECT_EQ(refusal(table_with(rule_if(ruleset::TcpMatch{}, other))),
              kHere + "match \"tcp\" needs its protocol in the same rule");
  }
  Rule inverted = rule_if(ruleset::TcpMatch{}, protocol::kTcp);
  inverted.header.protocol_inverted = true;
  EXPECT_EQ(refusal(table_with(inverted)), kHere + "match \"tcp\" needs its protocol in the same rule");

  ruleset::MultiportMatch ports;
  ports.ports = {PortRange{80, 80}};
  for (const uint8_t known : {protocol::kTcp, protocol::kUdp, protocol::kUdplite, protocol::kSctp, protocol::kDccp}) {
    EXPECT_EQ(refusal(table_with(rule_if(ports, known))), kAccepted);
  }
  inverted.matches = {ports};
  for (const Rule& wrong : {rule_if(ports), rule_if(ports, protocol::kIcmp), inverted}) {
    EXPECT_EQ(refusal(table_with(wrong)), kHere + "match \"multiport\" needs a protocol that has ports");
  }
}

TEST(Check, MatchesHoldWhatTheirStructuresHold) {
  ruleset::MultiportMatch ports;
  ports.ports.assign(15, PortRange{1, 1});
  EXPECT_EQ(refusal(table_with(rule_if(ports, protocol::kTcp))), kAccepted);
  ports.ports.back() = {1, 2};
  EXPECT_EQ(refusal(table_with(rule_if(ports, protocol::kTcp))), kHere + "match \"multiport\" cannot hold this");
  ports.ports.clear();
  EXPECT_EQ(refusal(table_with(rule_if(ports, protocol::kTcp))), kHere + "match \"multiport\" cannot hold this");

  EXPECT_EQ(refusal(table_with(rule_if(ruleset::CommentMatch{std::string(255, 'x')}))), kAccepted);
  EXPECT_EQ(refusal(table_with(rule_if(ruleset::CommentMatch{std::string(256, 'x')}))),
            kHere + "match \"comment\" cannot hold this");
  EXPECT_EQ(refusal(table_with(rule_if(ruleset::DscpMatch{63, false}))), kAccepted);
  EXPECT_EQ(refusal(table_with(rule_if(ruleset::DscpMatch{64, false}))), kHere + "a DSCP is at most 63");

  EXPECT_EQ(refusal(table_with(rule_if(ruleset::LimitMatch{UINT32_MAX, 1}))), kAccepted);
  for (const ruleset::LimitMatch limit : {ruleset::LimitMatch{500, 0}, ruleset::LimitMatch{UINT32_MAX / 2 + 1, 2}}) {
    EXPECT_EQ(refusal(table_with(rule_if(limit))), kHere + "match \"limit\" overflows: rate too low or burst too high");
  }

  // Of ICMPv6 the kernel has no number for "any type".
  EXPECT_EQ(refusal(table_with(rule_if(ruleset::IcmpMatch{}, protocol::kIcmp))), kAccepted);
  EXPECT_EQ(refusal(table_with(rule_if(ruleset::IcmpMatch{}, protocol::kIcmpv6), "OUTPUT", TableName::kFilter,
                               Family::kIpv6)),
            "rule 1 of chain OUTPUT in table \"filter\" of IPv6: match \"icmp6\" cannot hold this");
}

TEST(Check, TargetsHoldWhatTheirStructuresHold) {
  EXPECT_EQ(refusal(table_with(rule(ruleset::Log{7, 0, std::string(29, 'x')}))), kAccepted);
  EXPECT_EQ(refusal(table_with(rule(ruleset::Log{7, 0, std::string(30, 'x')}))),
            kHere + "target \"LOG\" cannot hold this");
  EXPECT_EQ(refusal(table_with(rule(ruleset::Log{8, 0, ""}))), kHere + "a log level is at most 7");
  EXPECT_EQ(refusal(table_with(rule(ruleset::Nflog{5, 0, {}, std::string(64, 'x')}))),
            kHere + "target \"NFLOG\" cannot hold this");
  EXPECT_EQ(refusal(table_with(rule(ruleset::SetDscp{63}), "OUTPUT", TableName::kMangle)), kAccepted);
  EXPECT_EQ(refusal(table_with(rule(ruleset::SetDscp{64}), "OUTPUT", TableName::kMangle)),
            "rule 1 of chain OUTPUT in table \"mangle\" of IPv4: a DSCP is at most 63");

  ruleset::Dnat half;
  half.first = IpAddress::v4(192, 0, 2, 1);
  EXPECT_EQ(refusal(table_with(rule(half), "OUTPUT", TableName::kNat)),
            "rule 1 of chain OUTPUT in table \"nat\" of IPv4: target \"DNAT\" cannot hold this");
  half.last = IpAddress::v6(0x20010DB800000000, 1);
  EXPECT_EQ(refusal(table_with(rule(half), "OUTPUT", TableName::kNat)),
            "rule 1 of chain OUTPUT in table \"nat\" of IPv4: target \"DNAT\" cannot hold this");
  half.last = half.first;
  EXPECT_EQ(refusal(table_with(rule(half), "OUTPUT", TableName::kNat)), kAccepted);
}

TEST(Check, RejectHasTheAnswersOfItsFamily) {
  constexpr auto filter = TableName::kFilter;
  const std::string no_such = "target \"REJECT\" has no such answer";
  const std::string here_v6 = "rule 1 of chain OUTPUT in table \"filter\" of IPv6: ";
  // A reset is 7 of IPv4 and 6 of IPv6; an echo reply, which nobody ever wrote, is 4 and 5.
  EXPECT_EQ(refusal(table_with(rule(ruleset::Reject{7}, {}, protocol::kTcp))), kAccepted);
  EXPECT_EQ(refusal(table_with(rule(ruleset::Reject{6}, {}, protocol::kTcp), "OUTPUT", filter, Family::kIpv6)),
            kAccepted);
  EXPECT_EQ(refusal(table_with(rule(ruleset::Reject{7}, {}, protocol::kUdp))), kHere + "a TCP reset answers TCP only");
  EXPECT_EQ(refusal(table_with(rule(ruleset::Reject{6}), "OUTPUT", filter, Family::kIpv6)),
            here_v6 + "a TCP reset answers TCP only");
  Rule inverted = rule(ruleset::Reject{7}, {}, protocol::kTcp);
  inverted.header.protocol_inverted = true;
  EXPECT_EQ(refusal(table_with(inverted)), kHere + "a TCP reset answers TCP only");
  EXPECT_EQ(refusal(table_with(rule(ruleset::Reject{4}))), kHere + no_such);
  EXPECT_EQ(refusal(table_with(rule(ruleset::Reject{5}), "OUTPUT", filter, Family::kIpv6)), here_v6 + no_such);
  EXPECT_EQ(refusal(table_with(rule(ruleset::Reject{8}))), kAccepted);
  EXPECT_EQ(refusal(table_with(rule(ruleset::Reject{9}))), kHere + no_such);
}

TEST(Check, WhatIsNotUnderstoodIsLeftToTheKernel) {
  EXPECT_EQ(refusal(table_with(
                rule(ruleset::OpaqueTarget{"SECMARK", 0, {}, ""}, {ruleset::OpaqueMatch{"bpf", 1, {}, "", false}}))),
            kAccepted);
}

TEST(Check, NamesTheLineThatTheRuleComesFrom) {
  ruleset::RuleSet rules{{table_with(rule(ruleset::Log{8, 0, ""}))}, {}};
  rules.tables[0].find("OUTPUT")->rules[0].origin = rules.intern({"tails.toml", 14, "[blocked]"});
  const auto checked = check(rules);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().message,
            "rule 1 of chain OUTPUT in table \"filter\" of IPv4 (tails.toml:14): a log level is at most 7");
  EXPECT_EQ(checked.error().kind, ErrorKind::kRefused);
}

}  // namespace
}  // namespace tails::iptc
