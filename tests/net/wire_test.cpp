#include "net/wire.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "net/frame_builder.h"

namespace tails::wire {
namespace {

using Frame = std::vector<std::byte>;

Bytes ip_of(const Frame& frame) { return Bytes(frame).subspan(14); }

FrameSpec udp_spec() {
  FrameSpec spec;
  spec.protocol = protocol::kUdp;
  spec.source_port = 4000;
  spec.destination_port = 53;
  spec.payload = std::vector<std::byte>(33, std::byte{0x5A});
  return spec;
}

/// The packet of `spec` after `change`, with right checksums again where `fix` says so.
Ipv4 read_changed(const FrameSpec& spec, size_t offset, unsigned value, const ReadOptions& options = {}) {
  Frame frame = build_frame(spec);
  frame.at(14 + offset) = static_cast<std::byte>(value);
  return read_ipv4(ip_of(frame), options);
}
constexpr ReadOptions kNoChecksums{false, false, 0};

TEST(Wire, ReadsTcp) {
  FrameSpec spec;
  spec.tos = 0x2A;
  spec.tcp_flags = tcp_flag::kSyn | tcp_flag::kAck;
  const Ipv4 ip = read_ipv4(ip_of(build_frame(spec)));
  EXPECT_EQ(ip.fault, Fault::kNone);
  EXPECT_EQ(ip.source, spec.source);
  EXPECT_EQ(ip.destination, spec.destination);
  EXPECT_EQ(ip.protocol, protocol::kTcp);
  EXPECT_EQ(ip.source_port, 40000);
  EXPECT_EQ(ip.destination_port, 443);
  EXPECT_EQ(ip.tcp_flags, tcp_flag::kSyn | tcp_flag::kAck);
  EXPECT_EQ(ip.dscp(), 0x0A);
  EXPECT_EQ(ip.total_bytes, 40U);
}

TEST(Wire, ReadsUdpWithAnOddPayloadBehindIpOptions) {
  FrameSpec spec = udp_spec();
  spec.ip_options = std::vector<std::byte>(8, std::byte{1});
  const Ipv4 ip = read_ipv4(ip_of(build_frame(spec)));
  EXPECT_EQ(ip.fault, Fault::kNone);
  EXPECT_EQ(ip.header_bytes, 28U);
  EXPECT_EQ(ip.destination_port, 53);
}

TEST(Wire, ReadsIcmpTypeCodeAndTheIdOfRequestsOnly) {
  FrameSpec spec;
  spec.protocol = protocol::kIcmp;
  spec.icmp_id = 0x1234;
  Ipv4 ip = read_ipv4(ip_of(build_frame(spec)));
  EXPECT_EQ(ip.fault, Fault::kNone);
  EXPECT_EQ(ip.icmp_type, 8);
  EXPECT_EQ(ip.icmp_id, 0x1234);
  spec.icmp_type = 3;
  spec.icmp_code = 4;
  ip = read_ipv4(ip_of(build_frame(spec)));
  EXPECT_EQ(ip.icmp_code, 4);
  EXPECT_EQ(ip.icmp_id, 0);
}

TEST(Wire, ProtocolsWithoutATransportHeaderOfOursNeedNoPayload) {
  FrameSpec spec;
  spec.protocol = 47;
  EXPECT_EQ(read_ipv4(ip_of(build_frame(spec)).first(20)).fault, Fault::kNone);
}

TEST(Wire, NamesEachFault) {
  const FrameSpec tcp;
  const Frame frame = build_frame(tcp);
  EXPECT_EQ(read_ipv4(ip_of(frame).first(19)).fault, Fault::kIpShort);
  EXPECT_EQ(read_changed(tcp, 0, 0x65).fault, Fault::kIpVersion);
  EXPECT_EQ(read_changed(tcp, 0, 0x44).fault, Fault::kIpHeaderLength);
  EXPECT_EQ(read_changed(tcp, 3, 19).fault, Fault::kIpTotalLength);
  EXPECT_EQ(read_changed(tcp, 3, 200).fault, Fault::kIpTotalLength);
  EXPECT_EQ(read_changed(tcp, 8, 63).fault, Fault::kIpChecksum);
  EXPECT_EQ(read_changed(tcp, 6, 0x20, kNoChecksums).fault, Fault::kFragment);
  EXPECT_EQ(read_changed(tcp, 7, 1, kNoChecksums).fault, Fault::kFragment);
  EXPECT_EQ(read_changed(tcp, 3, 39, kNoChecksums).fault, Fault::kTransportLength);
  EXPECT_EQ(read_changed(tcp, 32, 0x40, kNoChecksums).fault, Fault::kTransportLength);
  EXPECT_EQ(read_changed(tcp, 32, 0x60, kNoChecksums).fault, Fault::kTransportLength);
  EXPECT_EQ(read_changed(tcp, 23, 1).fault, Fault::kTransportChecksum);
  EXPECT_EQ(read_changed(udp_spec(), 25, 7, kNoChecksums).fault, Fault::kTransportLength);
  EXPECT_EQ(read_changed(udp_spec(), 25, 42, kNoChecksums).fault, Fault::kTransportLength);
}

TEST(Wire, TellsACutCaptureFromABadPacket) {
  const Frame frame = build_frame(udp_spec());
  const size_t wire_bytes = frame.size() - 14;
  EXPECT_EQ(read_ipv4(ip_of(frame).first(40), {true, true, wire_bytes}).fault, Fault::kNone);
  EXPECT_EQ(read_ipv4(ip_of(frame).first(27), {true, true, wire_bytes}).fault, Fault::kCut);
  EXPECT_EQ(read_ipv4(ip_of(frame).first(12), {true, true, wire_bytes}).fault, Fault::kCut);
  EXPECT_EQ(read_ipv4(ip_of(frame).first(40)).fault, Fault::kIpTotalLength);
}

TEST(Wire, UdpWithoutAChecksumIsSound) {
  Frame frame = build_frame(udp_spec());
  frame.at(14 + 26) = frame.at(14 + 27) = std::byte{0};
  EXPECT_EQ(read_ipv4(ip_of(frame)).fault, Fault::kNone);
}

TEST(Wire, ChecksumNoticesEveryFlippedBitThatItCovers) {
  const Frame frame = build_frame(udp_spec());
  // The TTL and the identification are in the IP checksum, everything behind the IP header in UDP's.
  for (size_t bit = 14 * 8; bit < frame.size() * 8; ++bit) {
    Frame changed = frame;
    changed.at(bit / 8) ^= static_cast<std::byte>(1U << bit % 8);
    EXPECT_NE(read_ipv4(ip_of(changed)).fault, Fault::kNone) << bit;
  }
}

TEST(Wire, EthernetReadsOneVlanTag) {
  FrameSpec spec;
  spec.vlan = 0x0123;
  const Frame frame = build_frame(spec);
  const auto ethernet = read_ethernet(frame);
  ASSERT_TRUE(ethernet);
  EXPECT_EQ(ethernet->vlan, 0x123);
  EXPECT_EQ(ethernet->type, kTypeIpv4);
  EXPECT_EQ(ethernet->header_bytes, 18U);
  EXPECT_FALSE(read_ethernet(Bytes(frame).first(17)));
  EXPECT_FALSE(read_ethernet(Bytes(frame).first(13)));
}

TEST(Wire, ArpIsPlausibleWhenItsSenderIsTheFramesAndOneStation) {
  Ethernet ethernet;
  ethernet.source = {2, 0, 0, 0, 0, 1};
  ethernet.type = kTypeArp;
  const std::vector<uint8_t> sound = {0,   1,  8,   0, 6, 4, 0, 1, 2, 0, 0,   0,  0,   1,
                                      198, 51, 100, 7, 0, 0, 0, 0, 0, 0, 198, 51, 100, 1};
  const auto plausible = [&](size_t offset, uint8_t value) {
    std::vector<uint8_t> message = sound;
    message.at(offset) = value;
    return is_plausible_arp(ethernet, std::as_bytes(std::span(message)));
  };
  EXPECT_TRUE(plausible(0, 0));
  EXPECT_TRUE(plausible(7, 2));
  EXPECT_FALSE(plausible(1, 6)) << "hardware";
  EXPECT_FALSE(plausible(3, 6)) << "protocol";
  EXPECT_FALSE(plausible(4, 8)) << "hardware length";
  EXPECT_FALSE(plausible(7, 3)) << "operation";
  EXPECT_FALSE(plausible(13, 9)) << "another sender";
  EXPECT_FALSE(plausible(14, 127)) << "loopback";
  EXPECT_FALSE(plausible(14, 224)) << "multicast";
  EXPECT_FALSE(is_plausible_arp(ethernet, std::as_bytes(std::span(sound)).first(27)));
}

TEST(Wire, AnyBytesReadWithoutReadingPastThem) {
  std::mt19937 random(1);
  const Frame frame = build_frame(udp_spec());
  for (int round = 0; round < 20000; ++round) {
    // A heap copy of the exact size: AddressSanitizer sees any byte read beyond it.
    Frame bytes(frame.begin(), frame.begin() + static_cast<long>(random() % (frame.size() + 1)));
    for (int change = 0; change < 3 && !bytes.empty(); ++change) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    bytes.shrink_to_fit();
    const auto ethernet = read_ethernet(bytes);
    if (!ethernet) continue;
    const Ipv4 ip = read_ipv4(Bytes(bytes).subspan(ethernet->header_bytes), {round % 2 == 0, round % 3 == 0, 0});
    EXPECT_LE(ip.total_bytes, bytes.size());
  }
}

}  // namespace
}  // namespace tails::wire
