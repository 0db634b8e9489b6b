#include "net/packet.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tails {
namespace {

Packet packet(uint8_t protocol, Family family = Family::kIpv4) {
  Packet packet;
  packet.protocol = protocol;
  packet.source = family == Family::kIpv4 ? kLoopbackV4 : kLoopbackV6;
  packet.destination = packet.source;
  return packet;
}

TEST(PortRange, ContainsItsEnds) {
  const PortRange range{137, 138};
  EXPECT_FALSE(range.contains(136));
  EXPECT_TRUE(range.contains(137));
  EXPECT_TRUE(range.contains(138));
  EXPECT_FALSE(range.contains(139));
  EXPECT_TRUE(PortRange::one(0).contains(0));
  EXPECT_FALSE(PortRange::one(0).contains(1));
  EXPECT_TRUE(PortRange::one(65535).contains(65535));
}

TEST(PortRange, TheDefaultIsEveryPort) {
  EXPECT_TRUE(PortRange().is_any());
  EXPECT_TRUE(PortRange().contains(0));
  EXPECT_TRUE(PortRange().contains(65535));
  EXPECT_FALSE((PortRange{1, 65535}.is_any()));
  EXPECT_FALSE((PortRange{0, 65534}.is_any()));
}

TEST(StateSet, HoldsWhatWasPutIn) {
  const StateSet set = ConnState::kNew | ConnState::kUntracked;
  EXPECT_TRUE(set.contains(ConnState::kNew));
  EXPECT_TRUE(set.contains(ConnState::kUntracked));
  EXPECT_FALSE(set.contains(ConnState::kEstablished));
  EXPECT_FALSE(set.empty());
  EXPECT_TRUE(StateSet().empty());
  EXPECT_EQ(set.bits(), 8 | 256);
  EXPECT_EQ(StateSet::from_bits(8 | 256), set);
}

TEST(Packet, IsASynWhenOfFourFlagsOnlySynIsSet) {
  for (unsigned flags = 0; flags < 256; ++flags) {
    Packet tcp = packet(protocol::kTcp);
    tcp.tcp_flags = static_cast<uint8_t>(flags);
    const bool syn_only = (flags & 0x02) != 0 && (flags & 0x01) == 0 && (flags & 0x04) == 0 && (flags & 0x10) == 0;
    EXPECT_EQ(tcp.is_tcp_syn(), syn_only) << flags;
  }
  Packet udp = packet(protocol::kUdp);
  udp.tcp_flags = tcp_flag::kSyn;
  EXPECT_FALSE(udp.is_tcp_syn());
}

TEST(Packet, IcmpIsThatOfItsFamily) {
  EXPECT_TRUE(packet(protocol::kIcmp).is_icmp());
  EXPECT_FALSE(packet(protocol::kIcmpv6).is_icmp());
  EXPECT_TRUE(packet(protocol::kIcmpv6, Family::kIpv6).is_icmp());
  EXPECT_FALSE(packet(protocol::kIcmp, Family::kIpv6).is_icmp());
}

TEST(Packet, OpensAFlowWhereTheNatTableIsAsked) {
  struct Row {
    std::string what;
    uint8_t protocol;
    ConnState state;
    Direction direction;
    bool has_nat;
    bool opens;
  };
  const std::vector<Row> rows = {
      {"the first packet", protocol::kUdp, ConnState::kNew, Direction::kOriginal, false, true},
      {"the second one before an answer", protocol::kUdp, ConnState::kNew, Direction::kOriginal, true, false},
      {"an expected flow", protocol::kTcp, ConnState::kRelated, Direction::kOriginal, false, true},
      {"an ICMP error", protocol::kIcmp, ConnState::kRelated, Direction::kOriginal, false, false},
      {"an answer", protocol::kUdp, ConnState::kEstablished, Direction::kReply, false, false},
      {"an established flow", protocol::kUdp, ConnState::kEstablished, Direction::kOriginal, false, false},
      {"an invalid packet", protocol::kTcp, ConnState::kInvalid, Direction::kOriginal, false, false},
      {"an untracked packet", protocol::kTcp, ConnState::kUntracked, Direction::kOriginal, false, false},
  };
  for (const Row& row : rows) {
    Packet at = packet(row.protocol);
    at.state = row.state;
    at.direction = row.direction;
    if (row.has_nat) at.recorded_nat = Endpoint{kLoopbackV4, 5353};
    EXPECT_EQ(at.opens_flow(), row.opens) << row.what;
  }
}

}  // namespace
}  // namespace tails
