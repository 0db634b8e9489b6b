#include "conntrack/flow.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace tails::conntrack {
namespace {

Flow web_flow() {
  Flow flow;
  flow.original = {
      protocol::kTcp, {IpAddress::v4(192, 0, 2, 10), 40000}, {IpAddress::v4(198, 51, 100, 7), 443}, 0, 0, 0};
  flow.reply = {protocol::kTcp, {IpAddress::v4(198, 51, 100, 7), 443}, {IpAddress::v4(192, 0, 2, 10), 40000}, 0, 0, 0};
  flow.mark = Mark{0x107};
  flow.zone.id = 7;
  return flow;
}

struct FilterCase {
  std::string name;
  std::function<void(FlowFilter&)> holds;
  std::function<void(FlowFilter&)> fails;
};

const std::vector<FilterCase> kFilters = {
    {"to", [](FlowFilter& f) { f.to = Prefix::parse("198.51.100.0/24"); },
     [](FlowFilter& f) { f.to = Prefix::parse("198.51.100.8"); }},
    {"from", [](FlowFilter& f) { f.from = Prefix::parse("192.0.2.10"); },
     [](FlowFilter& f) { f.from = Prefix::parse("198.51.100.0/24"); }},
    {"protocol", [](FlowFilter& f) { f.protocol = protocol::kTcp; },
     [](FlowFilter& f) { f.protocol = protocol::kUdp; }},
    {"mark",
     [](FlowFilter& f) {
       f.mark = MarkTest{0x307, 0xFF};
     },
     [](FlowFilter& f) { f.mark = MarkTest{0x307}; }},
    {"zone", [](FlowFilter& f) { f.zone = 7; }, [](FlowFilter& f) { f.zone = 0; }},
    {"family", [](FlowFilter& f) { f.family = Family::kIpv4; }, [](FlowFilter& f) { f.family = Family::kIpv6; }},
};

TEST(FlowFilter, NamesFlowsByEachOfItsParts) {
  for (const FilterCase& c : kFilters) {
    FlowFilter holding, failing;
    c.holds(holding);
    c.fails(failing);
    EXPECT_TRUE(holding.matches(web_flow())) << c.name;
    EXPECT_FALSE(failing.matches(web_flow())) << c.name;
    EXPECT_FALSE(holding.is_any()) << c.name;
  }
  EXPECT_TRUE(FlowFilter().matches(web_flow()));
  EXPECT_TRUE(FlowFilter().is_any());
}

TEST(FlowFilter, NamesAFlowOnlyWhereAllOfItHolds) {
  FlowFilter all;
  for (const FilterCase& c : kFilters) c.holds(all);
  EXPECT_TRUE(all.matches(web_flow()));
  for (const FilterCase& c : kFilters) {
    FlowFilter one_fails = all;
    c.fails(one_fails);
    EXPECT_FALSE(one_fails.matches(web_flow())) << c.name;
  }
}

TEST(TcpState, HasTheKernelsNames) {
  EXPECT_EQ(to_string(TcpState::kEstablished), "ESTABLISHED");
  EXPECT_EQ(to_string(TcpState::kSynSent2), "SYN_SENT2");
  EXPECT_EQ(to_string(TcpState{200}), "NONE") << "what a later kernel may have";
}

TEST(Flow, DiffersWhereOneOfItsPartsDoes) {
  const std::vector<std::pair<std::string, std::function<void(Flow&)>>> changes = {
      {"original", [](Flow& f) { f.original.source.port = 40001; }},
      {"reply", [](Flow& f) { f.reply.source.port = 444; }},
      {"status", [](Flow& f) { f.status = 2; }},
      {"id", [](Flow& f) { f.id = 1; }},
      {"timeout", [](Flow& f) { f.timeout_seconds = 1; }},
      {"mark", [](Flow& f) { f.mark = Mark{1}; }},
      {"zone", [](Flow& f) { f.zone.id = 8; }},
      {"side of the zone", [](Flow& f) { f.zone.side = Zone::Side::kReply; }},
      {"state", [](Flow& f) { f.tcp_state = TcpState::kClose; }},
  };
  for (const auto& [name, change] : changes) {
    Flow other = web_flow();
    change(other);
    EXPECT_FALSE(other == web_flow()) << name;
  }
  EXPECT_TRUE(web_flow() == web_flow());
}

}  // namespace
}  // namespace tails::conntrack
