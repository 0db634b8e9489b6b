#include "host/blocked_packet.h"

#include <charconv>

#include "net/wire.h"

namespace tails::host {
namespace {

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<uint8_t> protocol_of(std::string_view text) {
  if (text == "TCP") return protocol::kTcp;
  if (text == "UDP") return protocol::kUdp;
  if (text == "UDPLITE") return protocol::kUdplite;
  if (text == "ICMP") return protocol::kIcmp;
  if (text == "ICMPv6") return protocol::kIcmpv6;
  return number<uint8_t>(text);
}

/// IPv6 headers for the hops, the way, the pieces and the destination.
bool is_extension(uint8_t number) { return number == 0 || number == 43 || number == 44 || number == 60; }

/// Sets what "KEY=value" or a bare word like "SYN" says; what is not known is of no interest.
void take_word(std::string_view word, BlockedPacket& packet, bool& has_addresses, bool& has_protocol) {
  const size_t equals = word.find('=');
  if (equals == std::string_view::npos) {
    if (word == "SYN") packet.tcp_flags |= tcp_flag::kSyn;
    if (word == "ACK") packet.tcp_flags |= tcp_flag::kAck;
    if (word == "FIN") packet.tcp_flags |= tcp_flag::kFin;
    if (word == "RST") packet.tcp_flags |= tcp_flag::kRst;
    return;
  }
  const std::string_view key = word.substr(0, equals);
  const std::string_view value = word.substr(equals + 1);
  if (key == "OUT") {
    if (const auto name = InterfaceName::make(value)) packet.out = *name;
  } else if (key == "SRC") {
    if (const auto address = IpAddress::parse(value)) packet.source.address = *address;
  } else if (key == "DST") {
    if (const auto address = IpAddress::parse(value)) packet.destination.address = *address, has_addresses = true;
  } else if (key == "PROTO") {
    if (const auto known = protocol_of(value)) packet.protocol = *known, has_protocol = true;
  } else if (key == "SPT") {
    packet.source.port = number<Port>(value).value_or(0);
  } else if (key == "DPT") {
    packet.destination.port = number<Port>(value).value_or(0);
  } else if (key == "TYPE") {
    packet.icmp_type = number<uint8_t>(value).value_or(0);
  } else if (key == "UID") {
    if (const auto uid = number<uint32_t>(value)) packet.uid = Uid{*uid};
  }
}

}  // namespace

std::optional<BlockedPacket> read_log_message(std::string_view message, std::string_view prefix) {
  if (!message.starts_with(prefix)) return std::nullopt;
  message.remove_prefix(prefix.size());
  if (!message.starts_with("IN=")) return std::nullopt;
  BlockedPacket packet;
  bool has_addresses = false, has_protocol = false, is_quoted = false;
  while (!message.empty()) {
    const size_t end = std::min(message.find(' '), message.size());
    const std::string_view word = message.substr(0, end);
    message.remove_prefix(std::min(end + 1, message.size()));
    // An ICMP error quotes in brackets the packet that it is about.
    if (word.starts_with('[')) is_quoted = true;
    if (!is_quoted && !word.empty()) take_word(word, packet, has_addresses, has_protocol);
    if (word.ends_with(']')) is_quoted = false;
  }
  if (!has_addresses || !has_protocol) return std::nullopt;
  return packet;
}

std::optional<BlockedPacket> read_blocked_packet(std::span<const std::byte> bytes) {
  if (bytes.empty()) return std::nullopt;
  BlockedPacket packet;
  const auto u8 = [&](size_t at) { return static_cast<uint8_t>(bytes[at]); };
  const unsigned version = u8(0) >> 4;
  size_t header = 40;
  bool has_transport = true;
  if (version == 4 && bytes.size() >= 20) {
    packet.protocol = u8(9);
    packet.source.address = IpAddress::from_wire(Family::kIpv4, &bytes[12]);
    packet.destination.address = IpAddress::from_wire(Family::kIpv4, &bytes[16]);
    header = size_t{u8(0) & 0xFU} * 4;
    has_transport = (u8(6) & 0x1F) == 0 && u8(7) == 0;
  } else if (version == 6 && bytes.size() >= 40) {
    packet.protocol = u8(6);
    packet.source.address = IpAddress::from_wire(Family::kIpv6, &bytes[8]);
    packet.destination.address = IpAddress::from_wire(Family::kIpv6, &bytes[24]);
    // What says more of the way stands before the transport (RFC 8200, section 4).
    while (has_transport && is_extension(packet.protocol) && bytes.size() >= header + 8) {
      constexpr uint8_t kFragment = 44;
      const bool is_fragment = packet.protocol == kFragment;
      if (is_fragment) has_transport = u8(header + 2) == 0 && (u8(header + 3) & 0xF8) == 0;
      packet.protocol = u8(header);
      header += is_fragment ? 8 : (size_t{u8(header + 1)} + 1) * 8;
    }
  } else {
    return std::nullopt;
  }
  if (!has_transport || bytes.size() < header + 4) return packet;
  if (packet.protocol == protocol::kTcp || packet.protocol == protocol::kUdp || packet.protocol == protocol::kUdplite) {
    packet.source.port = static_cast<Port>(u8(header) << 8 | u8(header + 1));
    packet.destination.port = static_cast<Port>(u8(header + 2) << 8 | u8(header + 3));
  } else if (packet.protocol == protocol::kIcmp || packet.protocol == protocol::kIcmpv6) {
    packet.icmp_type = u8(header);
  }
  if (packet.protocol == protocol::kTcp && bytes.size() >= header + 14) packet.tcp_flags = u8(header + 13);
  return packet;
}

}  // namespace tails::host
