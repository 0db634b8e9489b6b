#include "net/wire.h"

#include <algorithm>

#include "net/flow_model.h"

namespace tails::wire {
namespace {

uint8_t byte_at(Bytes bytes, size_t offset) { return std::to_integer<uint8_t>(bytes[offset]); }
uint16_t word_at(Bytes bytes, size_t offset) {
  return static_cast<uint16_t>(byte_at(bytes, offset) << 8 | byte_at(bytes, offset + 1));
}

MacAddress mac_at(Bytes bytes, size_t offset) {
  MacAddress mac{};
  for (size_t i = 0; i < mac.size(); ++i) mac[i] = byte_at(bytes, offset + i);
  return mac;
}

constexpr size_t kMinIpHeader = 20;

/// Sum of the pseudo header that TCP and UDP checksums cover (RFC 9293 section 3.1).
uint32_t pseudo_header_sum(const Ipv4& ip, size_t payload_bytes) {
  const auto words = [](uint32_t address) { return (address >> 16) + (address & 0xFFFF); };
  return words(ip.source.v4_bits()) + words(ip.destination.v4_bits()) + ip.protocol +
         static_cast<uint32_t>(payload_bytes);
}

bool is_transport_checksum_good(const Ipv4& ip, Bytes payload) {
  switch (ip.protocol) {
    case protocol::kTcp: return checksum_add(payload, pseudo_header_sum(ip, payload.size())) == 0xFFFF;
    case protocol::kUdp: {
      if (word_at(payload, 6) == 0) return true;  // RFC 768: the sender made none
      const size_t length = word_at(payload, 4);
      return checksum_add(payload.first(length), pseudo_header_sum(ip, length)) == 0xFFFF;
    }
    case protocol::kIcmp: return checksum_add(payload) == 0xFFFF;
    default: return true;
  }
}

/// Fills in what the transport header says. `payload` is what is there of `wire_bytes`.
Fault read_transport(Ipv4& ip, Bytes payload, size_t wire_bytes) {
  const size_t needed = transport_header_bytes(ip.protocol);
  if (wire_bytes < needed) return Fault::kTransportLength;
  if (payload.size() < needed) return Fault::kCut;
  if (needed == 0) return Fault::kNone;
  if (ip.protocol == protocol::kIcmp) {
    ip.icmp_type = byte_at(payload, 0);
    ip.icmp_code = byte_at(payload, 1);
    if (flow_model::event_of(ip.protocol, ip.icmp_type) != flow_model::Event::kMalformed)
      ip.icmp_id = word_at(payload, 4);
    return Fault::kNone;
  }
  ip.source_port = word_at(payload, 0);
  ip.destination_port = word_at(payload, 2);
  if (ip.protocol == protocol::kTcp) {
    const size_t header = size_t{4} * (byte_at(payload, 12) >> 4);
    if (header < needed || header > wire_bytes) return Fault::kTransportLength;
    ip.tcp_flags = byte_at(payload, 13);
  }
  if (ip.protocol == protocol::kUdp) {
    const size_t length = word_at(payload, 4);
    if (length < needed || length > wire_bytes) return Fault::kTransportLength;
  }
  return Fault::kNone;
}

}  // namespace

std::string_view describe(Fault fault) {
  static constexpr std::array<std::string_view, kFaultCount> kWords = {"none",
                                                                       "cut off by the capture",
                                                                       "short IP header",
                                                                       "not IP version 4",
                                                                       "bad IP header length",
                                                                       "bad IP total length",
                                                                       "bad IP checksum",
                                                                       "fragment",
                                                                       "bad transport length",
                                                                       "bad transport checksum"};
  return kWords.at(static_cast<size_t>(fault));
}

size_t transport_header_bytes(uint8_t number) {
  switch (number) {
    case protocol::kTcp: return 20;
    case protocol::kUdp:
    case protocol::kUdplite:
    case protocol::kIcmp: return 8;
    case protocol::kSctp:
    case protocol::kDccp: return 12;
    default: return 0;
  }
}

std::optional<Ethernet> read_ethernet(Bytes frame) {
  if (frame.size() < 14) return std::nullopt;
  Ethernet ethernet{mac_at(frame, 0), mac_at(frame, 6), word_at(frame, 12), std::nullopt, 14};
  if (ethernet.type == kTypeVlan) {
    if (frame.size() < 18) return std::nullopt;
    ethernet.vlan = word_at(frame, 14) & 0x0FFF;
    ethernet.type = word_at(frame, 16);
    ethernet.header_bytes = 18;
  }
  return ethernet;
}

FlowTuple Ipv4::tuple() const {
  return {protocol, {source, source_port}, {destination, destination_port}, icmp_type, icmp_code, icmp_id};
}

Ipv4 read_ipv4(Bytes packet, const ReadOptions& options) {
  Ipv4 ip;
  const size_t wire_bytes = std::max(options.wire_bytes, packet.size());
  const auto stop = [&](Fault fault) {
    ip.fault = fault;
    return ip;
  };
  if (wire_bytes < kMinIpHeader) return stop(Fault::kIpShort);
  if (packet.size() < kMinIpHeader) return stop(Fault::kCut);
  if (byte_at(packet, 0) >> 4 != 4) return stop(Fault::kIpVersion);
  const size_t header = size_t{4} * (byte_at(packet, 0) & 0xF);
  if (header < kMinIpHeader || header > wire_bytes) return stop(Fault::kIpHeaderLength);
  if (header > packet.size()) return stop(Fault::kCut);
  const size_t total = word_at(packet, 2);
  if (total < header || total > wire_bytes) return stop(Fault::kIpTotalLength);

  ip.header_bytes = header;
  ip.total_bytes = total;
  ip.tos = byte_at(packet, 1);
  ip.protocol = byte_at(packet, 9);
  ip.source = IpAddress::from_wire(Family::kIpv4, packet.data() + 12);
  ip.destination = IpAddress::from_wire(Family::kIpv4, packet.data() + 16);
  if (options.ip_checksum && checksum_add(packet.first(header)) != 0xFFFF) return stop(Fault::kIpChecksum);

  constexpr uint16_t kMoreFragments = 0x2000;
  constexpr uint16_t kFragmentOffset = 0x1FFF;
  const uint16_t fragment = word_at(packet, 6);
  ip.later_fragment = (fragment & kFragmentOffset) != 0;
  if ((fragment & (kMoreFragments | kFragmentOffset)) != 0) return stop(Fault::kFragment);

  const Bytes payload = packet.subspan(header, std::min(total, packet.size()) - header);
  const size_t payload_bytes = total - header;
  if (const Fault fault = read_transport(ip, payload, payload_bytes); fault != Fault::kNone) return stop(fault);
  if (options.transport_checksum && payload.size() == payload_bytes && !is_transport_checksum_good(ip, payload)) {
    return stop(Fault::kTransportChecksum);
  }
  return ip;
}

bool is_plausible_arp(const Ethernet& ethernet, Bytes message) {
  if (message.size() < 28) return false;
  if (word_at(message, 0) != 1 || word_at(message, 2) != kTypeIpv4) return false;
  if (byte_at(message, 4) != 6 || byte_at(message, 5) != 4) return false;
  const uint16_t operation = word_at(message, 6);
  if (operation != 1 && operation != 2) return false;
  const MacAddress sender = mac_at(message, 8);
  if (sender != ethernet.source || is_multicast(sender)) return false;
  const IpAddress address = IpAddress::from_wire(Family::kIpv4, message.data() + 14);
  return !kLoopbackNetV4.contains(address) && address.v4_bits() >> 28 < 0xE;
}

uint16_t checksum_add(Bytes bytes, uint32_t sum) {
  uint64_t total = sum;
  size_t i = 0;
  for (; i + 1 < bytes.size(); i += 2) total += word_at(bytes, i);
  if (i < bytes.size()) total += static_cast<uint32_t>(byte_at(bytes, i)) << 8;
  while (total >> 16 != 0) total = (total & 0xFFFF) + (total >> 16);
  return static_cast<uint16_t>(total);
}

}  // namespace tails::wire
