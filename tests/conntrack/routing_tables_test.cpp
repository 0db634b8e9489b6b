#include "conntrack/routing_tables.h"

#include <gmock/gmock.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "ruleset/cuts.h"
#include "tests/conntrack/addresses.h"
#include "tests/conntrack/messages.h"

namespace tails::conntrack {
namespace {

using tails::testing::WrittenMessage;
using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr IpAddress kNet = IpAddress::v4(192, 0, 2, 0);
constexpr IpAddress kNetV6 = IpAddress::v6(0x20010db800000000, 0);

struct RouteTo {
  IpAddress destination;
  uint8_t length;
  uint8_t type = RTN_UNICAST;
};

WrittenMessage route(const RouteTo& to) {
  rtmsg fixed{};
  fixed.rtm_family = to.destination.family == Family::kIpv4 ? AF_INET : AF_INET6;
  fixed.rtm_dst_len = to.length;
  fixed.rtm_type = to.type;
  return WrittenMessage(RTM_NEWROUTE, fixed).put(RTA_DST, to.destination);
}

WrittenMessage link(int index, const char* name) {
  ifinfomsg fixed{};
  fixed.ifi_index = index;
  return WrittenMessage(RTM_NEWLINK, fixed).put(IFLA_IFNAME, name);
}

WrittenMessage answer(uint8_t type, uint32_t interface) {
  rtmsg fixed{};
  fixed.rtm_type = type;
  return WrittenMessage(RTM_NEWROUTE, fixed).put(RTA_OIF, interface);
}

/// The family is the first byte of both.
template <class Fixed>
Fixed of_ipv4() {
  Fixed fixed{};
  const uint8_t family = AF_INET;
  std::memcpy(&fixed, &family, sizeof family);
  return fixed;
}

TEST(RoutingTables, TellKindsOfAddressesApart) {
  RoutingTables tables;
  for (const RouteTo& to :
       {RouteTo{kNet, 24}, RouteTo{kHost, 32, RTN_LOCAL}, RouteTo{IpAddress::v4(192, 0, 2, 255), 32, RTN_BROADCAST},
        RouteTo{IpAddress::v4(127, 0, 0, 0), 8, RTN_LOCAL}, RouteTo{kNetV6, 64}, RouteTo{kNetV6, 128, RTN_ANYCAST}}) {
    tables.take_route(route(to).get());
  }
  const std::vector<std::pair<const char*, AddressType>> kinds = {
      {"192.0.2.10", AddressType::kLocal},          {"127.192.0.5", AddressType::kLocal},
      {"192.0.2.11", AddressType::kUnicast},        {"192.0.2.255", AddressType::kBroadcast},
      {"255.255.255.255", AddressType::kBroadcast}, {"224.0.0.251", AddressType::kMulticast},
      {"239.255.255.255", AddressType::kMulticast}, {"240.0.0.1", AddressType::kUnicast},
      {"2001:db8::", AddressType::kAnycast},        {"2001:db8::1", AddressType::kUnicast},
      {"ff02::fb", AddressType::kMulticast},        {"fe80::1", AddressType::kUnicast},
  };
  for (const auto& [text, type] : kinds) EXPECT_EQ(tables.type(Prefix::parse(text)->address()), type) << text;
  EXPECT_TRUE(tables.is_local(kHost));
  EXPECT_FALSE(tables.is_local(kNet));

  tables.forget_routes();
  EXPECT_EQ(tables.type(kHost), AddressType::kUnicast);
  EXPECT_EQ(tables.type(IpAddress::v4(192, 0, 2, 255)), AddressType::kUnicast);
  EXPECT_EQ(tables.type(kNetV6), AddressType::kUnicast);
}

TEST(RoutingTables, HaveABoundaryWhereARouteOrARuleBeginsAndBehindIt) {
  RoutingTables tables;
  tables.take_route(route({kNet, 24}).get());
  fib_rule_hdr by_source{};
  by_source.family = AF_INET;
  by_source.src_len = 30;
  tables.take_rule(WrittenMessage(RTM_NEWRULE, by_source).put(FRA_SRC, IpAddress::v4(10, 200, 1, 16)).get());
  fib_rule_hdr by_destination{};
  by_destination.family = AF_INET6;
  by_destination.dst_len = 64;
  tables.take_rule(WrittenMessage(RTM_NEWRULE, by_destination).put(FRA_DST, kNetV6).put(FRA_PRIORITY, 7U).get());
  const auto boundaries = tables.boundaries();
  for (const IpAddress& address :
       {kNet, IpAddress::v4(192, 0, 3, 0), IpAddress::v4(10, 200, 1, 16), IpAddress::v4(10, 200, 1, 20), kNetV6,
        IpAddress::v6(0x20010db800000001, 0), IpAddress::v4(224, 0, 0, 0), IpAddress::v4(240, 0, 0, 0),
        IpAddress::v4(0xFFFFFFFF), IpAddress::v6(0xFF00000000000000, 0)}) {
    EXPECT_THAT(boundaries, Contains(address));
  }
  EXPECT_EQ(boundaries.size(), 10U);
  EXPECT_TRUE(std::ranges::is_sorted(boundaries));
}

TEST(RoutingTables, KnowInterfacesByIndex) {
  RoutingTables tables;
  tables.take_link(link(2, "eth0").get());
  tables.take_link(link(3, "a-name-that-no-interface-can-have").get());
  EXPECT_EQ(tables.link(2)->view(), "eth0");
  EXPECT_FALSE(tables.link(3));
  tables.take_link(link(2, "wan").get());
  EXPECT_EQ(tables.link(2)->view(), "wan") << "it was renamed";
}

TEST(RoutingTables, ARouteThatLeadsNowhereHasNoInterface) {
  RoutingTables tables;
  tables.take_link(link(2, "eth0").get());
  EXPECT_EQ(tables.interface_of(answer(RTN_UNICAST, 2).get())->view(), "eth0");
  for (const uint8_t type : {RTN_UNREACHABLE, RTN_BLACKHOLE, RTN_PROHIBIT}) {
    EXPECT_FALSE(tables.interface_of(answer(type, 2).get())) << int{type};
  }
  EXPECT_FALSE(tables.interface_of(answer(RTN_UNICAST, 9).get())) << "which came after the list";
  EXPECT_FALSE(tables.interface_of(route({kNet, 24}).get())) << "which names none";
  EXPECT_FALSE(tables.interface_of(link(2, "eth0").get()));
  EXPECT_FALSE(tables.interface_of(answer(RTN_UNICAST, 2).cut_to(4).get()));
}

TEST(RoutingTables, TakeNothingFromWhatIsCutShortOrOfAnotherKind) {
  RoutingTables tables;
  rtmsg cached{};
  cached.rtm_family = AF_INET;
  cached.rtm_dst_len = 32;
  cached.rtm_flags = RTM_F_CLONED;
  rtmsg decnet{};
  decnet.rtm_family = AF_IPX;
  const std::array<std::byte, 2> two_bytes{};
  for (const WrittenMessage& message :
       {WrittenMessage(RTM_NEWROUTE, cached).put(RTA_DST, kHost),
        WrittenMessage(RTM_NEWROUTE, decnet).put(RTA_DST, kHost), route({kNet, 24}).cut_to(4),
        route({kNet, 24}).cut_to(sizeof(rtmsg)), route({kNet, 33}), link(2, "eth0"),
        WrittenMessage(RTM_NEWROUTE, of_ipv4<rtmsg>()).put_bytes(RTA_DST, two_bytes)}) {
    tables.take_route(message.get());
  }
  EXPECT_THAT(tables.routes, IsEmpty());
  for (const WrittenMessage& message :
       {link(2, "eth0").cut_to(4), link(2, "eth0").cut_to(sizeof(ifinfomsg)), link(2, ""), answer(RTN_UNICAST, 2)}) {
    tables.take_link(message.get());
  }
  EXPECT_THAT(tables.links, IsEmpty());
  for (const WrittenMessage& message :
       {WrittenMessage(RTM_NEWRULE, fib_rule_hdr{}).put(FRA_SRC, kHost), route({kNet, 24}),
        WrittenMessage(RTM_NEWRULE, of_ipv4<fib_rule_hdr>()).put(FRA_SRC, kHost).cut_to(4),
        WrittenMessage(RTM_NEWRULE, of_ipv4<fib_rule_hdr>()).put(FRA_PRIORITY, 7U)}) {
    tables.take_rule(message.get());
  }
  EXPECT_THAT(tables.rules, IsEmpty());
}

}  // namespace
}  // namespace tails::conntrack
