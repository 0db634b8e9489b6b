#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "net/packet.h"

/// Packets and their fields as text, and back.
namespace tails::cli {

/// "tcp", "udp", "icmp", "icmpv6", or the number.
std::string protocol_text(uint8_t protocol);
/// The same back; "icmp" means ICMPv6 for an IPv6 packet. Nullopt: neither a name nor 0..255.
std::optional<uint8_t> parse_protocol(std::string_view text, Family family);

/// "OUTPUT", …
std::string_view hook_text(Hook hook);
/// "NEW", …
std::string_view state_text(ConnState state);
/// Upper or lower case.
std::optional<ConnState> parse_state(std::string_view text);
/// Type and code: "3/3", or "8" for code 0.
std::optional<std::pair<uint8_t, uint8_t>> parse_icmp_type(std::string_view text);
/// "SYN", "SYN,ACK"; "none" for no flag.
std::string flags_text(uint8_t flags);
/// "UNICAST", "LOCAL", …
std::string_view address_type_text(AddressType type);
/// "accept", "reject", "drop", "unknown".
std::string_view verdict_text(Verdict verdict);
/// "127.0.0.1:9040", "[::1]:4101".
std::string endpoint_text(const Endpoint& endpoint);
/// "tcp SYN, NEW, 192.0.2.1:40000 to 198.51.100.7:443 by eth0".
std::string packet_text(const Packet& packet);

}  // namespace tails::cli
