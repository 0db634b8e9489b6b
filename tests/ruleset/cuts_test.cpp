#include "ruleset/cuts.h"

#include <gtest/gtest.h>

namespace tails::ruleset {
namespace {

RuleSet with(Rule rule) {
  Table filter = Table::open(Family::kIpv4, TableName::kFilter);
  filter.find("OUTPUT")->rules.push_back(std::move(rule));
  RuleSet rules;
  rules.tables.push_back(std::move(filter));
  return rules;
}

TEST(Cuts, StandAtBothEndsOfEveryRangeThatARuleNames) {
  Rule rule;
  rule.header.destination = AddressTest::in(*Prefix::parse("10.0.0.0/8"));
  rule.header.protocol = protocol::kTcp;
  rule.matches.emplace_back(TcpMatch{{}, {6000, 6010}, false, false, 0, 0, false, 0, false});
  rule.matches.emplace_back(OwnerMatch::is(Uid{1000}));
  const Cuts cuts = cuts_of(with(rule));
  EXPECT_EQ(cuts.addresses, (std::vector{IpAddress::v4(10, 0, 0, 0), IpAddress::v4(11, 0, 0, 0)}));
  EXPECT_EQ(cuts.destination_ports, (std::vector<uint32_t>{6000, 6011}));
  EXPECT_EQ(cuts.uids, (std::vector<uint32_t>{0, 1000, 1001}));
  EXPECT_EQ(class_of(cuts.destination_ports, uint16_t{6000}), class_of(cuts.destination_ports, uint16_t{6010}));
  EXPECT_NE(class_of(cuts.destination_ports, uint16_t{6010}), class_of(cuts.destination_ports, uint16_t{6011}));
}

TEST(Cuts, TheAddressAfterANetworkIsTheNextOnesFirst) {
  EXPECT_EQ(after(*Prefix::parse("10.0.0.0/8")), IpAddress::v4(11, 0, 0, 0));
  EXPECT_EQ(after(*Prefix::parse("255.255.255.255/32")), std::nullopt);
  EXPECT_EQ(after(Prefix::host(kLoopbackV6)), IpAddress::v6(0, 2));
  EXPECT_EQ(after(*Prefix::parse("2001:db8::/64")), IpAddress::v6(0x20010db800000001, 0));
  EXPECT_EQ(after(*Prefix::parse("ff00::/8")), std::nullopt);
}

}  // namespace
}  // namespace tails::ruleset
