#include "tests/kernel/harness/packet_bytes.h"

#include <algorithm>
#include <array>

namespace tails::testbed {
namespace {

constexpr size_t kIpv4Header = 20;
constexpr size_t kIpv6Header = 40;
constexpr size_t kTcpHeader = 20;
constexpr size_t kUdpHeader = 8;
constexpr size_t kIcmpHeader = 8;
constexpr uint16_t kMoreFragmentsOffsetMask = 0x1FFF;
constexpr uint16_t kSomeFragmentOffset = 185;  // 1480 bytes, in units of 8

void put8(Bytes& out, size_t at, uint8_t value) { out.at(at) = std::byte{value}; }
void put16(Bytes& out, size_t at, size_t value) {
  put8(out, at, static_cast<uint8_t>(value >> 8 & 0xFF));
  put8(out, at + 1, static_cast<uint8_t>(value & 0xFF));
}
void put32(Bytes& out, size_t at, uint32_t value) {
  put16(out, at, value >> 16);
  put16(out, at + 2, value & 0xFFFF);
}
uint8_t get8(std::span<const std::byte> in, size_t at) { return static_cast<uint8_t>(in[at]); }
uint16_t get16(std::span<const std::byte> in, size_t at) {
  return static_cast<uint16_t>(get8(in, at) << 8 | get8(in, at + 1));
}

/// RFC 1071, over what is given; `start` carries a pseudo-header's sum.
uint32_t sum16(std::span<const std::byte> bytes, uint32_t start) {
  uint32_t sum = start;
  for (size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? uint32_t{get8(bytes, i)} << 8 : get8(bytes, i);
  return sum;
}
uint16_t fold(uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

Bytes transport(const Packet& packet, const Details& details) {
  Bytes out;
  const size_t claimed_extra = details.lies_about_length ? 40 : 0;
  if (packet.later_fragment) {
  } else if (packet.protocol == protocol::kTcp) {
    out.resize(kTcpHeader);
    put16(out, 0, packet.source_port);
    put16(out, 2, packet.destination_port);
    put32(out, 4, details.sequence);
    put32(out, 8, details.acknowledgement);
    put8(out, 12, static_cast<uint8_t>((kTcpHeader + claimed_extra) / 4 << 4));
    put8(out, 13, packet.tcp_flags);
    put16(out, 14, 65535);
  } else if (packet.protocol == protocol::kUdp) {
    out.resize(kUdpHeader);
    put16(out, 0, packet.source_port);
    put16(out, 2, packet.destination_port);
    put16(out, 4, kUdpHeader + details.payload.size() + claimed_extra);
  } else if (packet.is_icmp()) {
    out.resize(kIcmpHeader);
    put8(out, 0, packet.icmp_type);
    put8(out, 1, packet.icmp_code);
    const bool is_error = packet.family() == Family::kIpv4 ? (packet.icmp_type >= 3 && packet.icmp_type <= 5) ||
                                                                 packet.icmp_type == 11 || packet.icmp_type == 12
                                                           : packet.icmp_type < 128;
    if (!is_error) put32(out, 4, details.sequence);
  }
  out.insert(out.end(), details.payload.begin(), details.payload.end());
  return out;
}

/// Where the transport checksum stands, or nothing.
std::optional<size_t> checksum_offset(const Packet& packet) {
  if (packet.later_fragment) return std::nullopt;
  if (packet.protocol == protocol::kTcp) return 16;
  if (packet.protocol == protocol::kUdp) return 6;
  if (packet.is_icmp()) return 2;
  return std::nullopt;
}

}  // namespace

Bytes compose(const Packet& packet, const Details& details) {
  const Bytes body = transport(packet, details);
  const bool is_v4 = packet.family() == Family::kIpv4;
  const size_t header = is_v4 ? kIpv4Header : kIpv6Header;
  Bytes out(header);
  if (is_v4) {
    put8(out, 0, 0x45);
    put8(out, 1, static_cast<uint8_t>(packet.dscp << 2));
    put16(out, 2, kIpv4Header + body.size());
    put16(out, 4, details.ip_id);
    put16(out, 6, packet.later_fragment ? kSomeFragmentOffset : 0);
    put8(out, 8, details.hop_limit);
    put8(out, 9, packet.protocol);
    packet.source.to_wire(&out[12]);
    packet.destination.to_wire(&out[16]);
    put16(out, 10, fold(sum16(out, 0)));
  } else {
    put8(out, 0, static_cast<uint8_t>(0x60 | packet.dscp >> 2));
    put8(out, 1, static_cast<uint8_t>(packet.dscp << 6 & 0xC0));
    put16(out, 4, body.size());
    put8(out, 6, packet.protocol);
    put8(out, 7, details.hop_limit);
    packet.source.to_wire(&out[8]);
    packet.destination.to_wire(&out[24]);
  }
  out.insert(out.end(), body.begin(), body.end());
  if (const auto at = checksum_offset(packet)) {
    uint32_t pseudo = 0;
    if (packet.protocol != protocol::kIcmp) {  // all but ICMPv4 cover the addresses too
      const size_t addresses = is_v4 ? 12 : 8;
      pseudo = sum16(std::span(out).subspan(addresses, header - addresses), packet.protocol) +
               static_cast<uint32_t>(body.size());
    }
    put16(out, header + *at, fold(sum16(std::span(out).subspan(header), pseudo)));
  }
  return out;
}

namespace {

struct Layer {
  uint8_t protocol = 0;
  size_t offset = 0;
  bool later_fragment = false;
};

/// Skips IPv6 extension headers (RFC 8200 section 4).
std::optional<Layer> upper_layer_v6(std::span<const std::byte> bytes) {
  Layer layer{get8(bytes, 6), kIpv6Header, false};
  constexpr std::array<uint8_t, 3> kWithLength = {0, 43, 60};
  constexpr uint8_t kFragment = 44;
  while (layer.protocol == kFragment || std::ranges::count(kWithLength, layer.protocol) != 0) {
    if (layer.offset + 8 > bytes.size()) return std::nullopt;
    const bool is_fragment = layer.protocol == kFragment;
    if (is_fragment && (get16(bytes, layer.offset + 2) & 0xFFF8) != 0) layer.later_fragment = true;
    layer.protocol = get8(bytes, layer.offset);
    layer.offset += is_fragment ? 8 : 8 + size_t{8} * get8(bytes, layer.offset + 1);
  }
  return layer;
}

}  // namespace

std::optional<Packet> dissect(std::span<const std::byte> bytes) {
  if (bytes.empty()) return std::nullopt;
  const uint8_t version = get8(bytes, 0) >> 4;
  Packet packet;
  Layer layer;
  if (version == 4 && bytes.size() >= kIpv4Header) {
    layer = {get8(bytes, 9), size_t{4} * (get8(bytes, 0) & 0xFU), (get16(bytes, 6) & kMoreFragmentsOffsetMask) != 0};
    packet.dscp = get8(bytes, 1) >> 2;
    packet.source = IpAddress::from_wire(Family::kIpv4, &bytes[12]);
    packet.destination = IpAddress::from_wire(Family::kIpv4, &bytes[16]);
  } else if (version == 6 && bytes.size() >= kIpv6Header) {
    const auto upper = upper_layer_v6(bytes);
    if (!upper) return std::nullopt;
    layer = *upper;
    packet.dscp = static_cast<uint8_t>(get16(bytes, 0) >> 6 & 0x3F);
    packet.source = IpAddress::from_wire(Family::kIpv6, &bytes[8]);
    packet.destination = IpAddress::from_wire(Family::kIpv6, &bytes[24]);
  } else {
    return std::nullopt;
  }
  packet.protocol = layer.protocol;
  packet.later_fragment = layer.later_fragment;
  if (layer.later_fragment) return packet;
  const auto body = bytes.subspan(std::min(layer.offset, bytes.size()));
  if (packet.protocol == protocol::kTcp || packet.protocol == protocol::kUdp) {
    if (body.size() < (packet.protocol == protocol::kTcp ? kTcpHeader : kUdpHeader)) return std::nullopt;
    packet.source_port = get16(body, 0);
    packet.destination_port = get16(body, 2);
    if (packet.protocol == protocol::kTcp) packet.tcp_flags = get8(body, 13);
  } else if (packet.is_icmp()) {
    if (body.size() < kIcmpHeader) return std::nullopt;
    packet.icmp_type = get8(body, 0);
    packet.icmp_code = get8(body, 1);
  }
  return packet;
}

uint16_t ip_id_of(std::span<const std::byte> bytes) {
  return bytes.size() >= kIpv4Header && get8(bytes, 0) >> 4 == 4 ? get16(bytes, 4) : 0;
}

}  // namespace tails::testbed
