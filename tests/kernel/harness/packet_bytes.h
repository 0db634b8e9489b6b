#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "net/packet.h"

namespace tails::testbed {

using Bytes = std::vector<std::byte>;

/// What a Packet leaves open of the bytes to be sent.
struct Details {
  Bytes payload{};  ///< After the transport header; for an ICMP error: the packet it quotes.
  uint16_t ip_id = 1;
  uint8_t hop_limit = 64;        ///< TTL in IPv4.
  uint32_t sequence = 1;         ///< TCP; identifier and sequence number of an ICMP echo.
  uint32_t acknowledgement = 0;  ///< TCP.
  /// The transport header claims more bytes than there are (TCP, UDP), which conntrack calls INVALID while rules can
  /// still read ports and flags.
  bool lies_about_length = false;
};

/// The packet from its IP header on, checksums filled in. TCP, UDP, ICMP and ICMPv6 get their header; any other
/// protocol, and a later fragment, gets the payload alone.
Bytes compose(const Packet& packet, const Details& details = {});

/// The header fields of a packet from its IP header on, as far as rules look at them; IPv6 extension headers are
/// skipped. Nullopt when it is no IP packet or cut short.
std::optional<Packet> dissect(std::span<const std::byte> bytes);

/// The identification field of an IPv4 packet, 0 for IPv6.
uint16_t ip_id_of(std::span<const std::byte> bytes);

}  // namespace tails::testbed
