#include "net/frame_builder.h"

#include <algorithm>
#include <cassert>

namespace tails::wire {
namespace {

constexpr size_t kMinFrame = 60;

class Writer {
 public:
  void u8(unsigned value) { bytes.push_back(static_cast<std::byte>(value)); }
  void u16(unsigned value) {
    u8(value >> 8 & 0xFF);
    u8(value & 0xFF);
  }
  void u32(uint32_t value) {
    u16(value >> 16);
    u16(value & 0xFFFF);
  }
  void raw(Bytes more) { bytes.insert(bytes.end(), more.begin(), more.end()); }
  void mac(const MacAddress& address) {
    for (const uint8_t b : address) u8(b);
  }

  std::vector<std::byte> bytes;
};

void write_transport(Writer& w, const FrameSpec& spec) {
  switch (spec.protocol) {
    case protocol::kTcp:
      w.u16(spec.source_port);
      w.u16(spec.destination_port);
      w.u32(spec.tcp_sequence);
      w.u32(spec.tcp_acknowledgement);
      w.u8(5 << 4);
      w.u8(spec.tcp_flags);
      w.u16(64240);
      w.u32(0);  // checksum, urgent pointer
      break;
    case protocol::kUdp:
    case protocol::kUdplite:
      w.u16(spec.source_port);
      w.u16(spec.destination_port);
      w.u16(static_cast<unsigned>(8 + spec.payload.size()));
      w.u16(0);
      break;
    case protocol::kSctp:
    case protocol::kDccp:
      w.u16(spec.source_port);
      w.u16(spec.destination_port);
      w.u32(0);
      w.u32(0);
      break;
    case protocol::kIcmp:
      w.u8(spec.icmp_type);
      w.u8(spec.icmp_code);
      w.u16(0);
      w.u16(spec.icmp_id);
      w.u16(1);
      break;
    default: break;
  }
  w.raw(spec.payload);
}

void put_u16(std::span<std::byte> bytes, size_t offset, uint16_t value) {
  bytes[offset] = static_cast<std::byte>(value >> 8);
  bytes[offset + 1] = static_cast<std::byte>(value & 0xFF);
}

}  // namespace

std::vector<std::byte> build_frame(const FrameSpec& spec) {
  assert(spec.ip_options.size() % 4 == 0 && spec.ip_options.size() <= 40);
  constexpr size_t kMostHeaders = 14 + 4 + 60 + 20;
  Writer transport;
  transport.bytes.reserve(20 + spec.payload.size());
  write_transport(transport, spec);

  Writer w;
  w.bytes.reserve(kMostHeaders + spec.payload.size());
  w.mac(spec.destination_mac);
  w.mac(spec.source_mac);
  if (spec.vlan) {
    w.u16(kTypeVlan);
    w.u16(*spec.vlan);
  }
  w.u16(kTypeIpv4);
  const size_t ip = w.bytes.size();
  const size_t header = 20 + spec.ip_options.size();
  w.u8(static_cast<unsigned>(4 << 4 | header / 4));
  w.u8(spec.tos);
  w.u16(static_cast<unsigned>(header + transport.bytes.size()));
  w.u16(1);       // identification
  w.u16(0x4000);  // do not fragment
  w.u8(spec.ttl);
  w.u8(spec.protocol);
  w.u16(0);
  w.u32(spec.source.v4_bits());
  w.u32(spec.destination.v4_bits());
  w.raw(spec.ip_options);
  w.raw(transport.bytes);
  fix_checksums(std::span(w.bytes).subspan(ip));
  w.bytes.resize(std::max(w.bytes.size(), kMinFrame));
  return std::move(w.bytes);
}

void fix_checksums(std::span<std::byte> packet) {
  const Ipv4 ip = read_ipv4(packet, {false, false, 0});
  assert(ip.fault == Fault::kNone);
  put_u16(packet, 10, 0);
  put_u16(packet, 10, static_cast<uint16_t>(~checksum_add(packet.first(ip.header_bytes))));

  const auto payload = packet.subspan(ip.header_bytes, ip.total_bytes - ip.header_bytes);
  const uint32_t pseudo = (ip.source.v4_bits() >> 16) + (ip.source.v4_bits() & 0xFFFF) +
                          (ip.destination.v4_bits() >> 16) + (ip.destination.v4_bits() & 0xFFFF) + ip.protocol +
                          static_cast<uint32_t>(payload.size());
  const auto write = [&](size_t offset, uint32_t start) {
    put_u16(payload, offset, 0);
    put_u16(payload, offset, static_cast<uint16_t>(~checksum_add(payload, start)));
  };
  switch (ip.protocol) {
    case protocol::kTcp: write(16, pseudo); break;
    case protocol::kUdp:
      write(6, pseudo);
      // RFC 768: zero would say that there is none.
      if (payload[6] == std::byte{0} && payload[7] == std::byte{0}) put_u16(payload, 6, 0xFFFF);
      break;
    case protocol::kIcmp: write(2, 0); break;
    default: break;
  }
}

}  // namespace tails::wire
