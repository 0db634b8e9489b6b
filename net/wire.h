#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "net/address.h"
#include "net/ids.h"
#include "net/tuple.h"

/// Reading frames as they are on the wire. Nothing here writes to a packet or keeps a pointer into it; everything
/// comes out in host byte order. Pure, thread-safe, never reads past the span.
namespace tails::wire {

using Bytes = std::span<const std::byte>;

/// Ethernet types (IEEE 802 numbers) that we name.
inline constexpr uint16_t kTypeIpv4 = 0x0800, kTypeArp = 0x0806, kTypeVlan = 0x8100, kTypeIpv6 = 0x86DD;

/// Why a packet cannot be judged, or must not pass whatever a policy says.
enum class Fault : uint8_t {
  kNone,
  kCut,             ///< The capture ends before the header does; the packet itself may be sound.
  kIpShort,         ///< Under 20 bytes.
  kIpVersion,       ///< Not 4.
  kIpHeaderLength,  ///< Under 20 bytes or past the end.
  kIpTotalLength,   ///< Shorter than its header or longer than the frame.
  kIpChecksum,
  kFragment,         ///< Any part of a fragmented packet.
  kTransportLength,  ///< The transport header or UDP length does not fit.
  kTransportChecksum,
};
inline constexpr size_t kFaultCount = 10;

/// "bad IP checksum".
std::string_view describe(Fault fault);

using MacAddress = std::array<uint8_t, 6>;
constexpr bool is_multicast(const MacAddress& mac) { return (mac[0] & 1) != 0; }

/// An Ethernet II header, with at most one 802.1Q tag.
struct Ethernet {
  MacAddress destination{};
  MacAddress source{};
  uint16_t type = 0;             ///< What is inside, behind the tag. Under 0x600: an 802.3 length.
  std::optional<uint16_t> vlan;  ///< The 12 bits of the VLAN's number.
  size_t header_bytes = 14;
};

/// Nullopt: under 14 bytes, or 18 with a tag.
std::optional<Ethernet> read_ethernet(Bytes frame);

/// An IPv4 packet down to its transport header.
struct Ipv4 {
  Fault fault = Fault::kNone;
  IpAddress source;
  IpAddress destination;
  uint8_t tos = 0;
  uint8_t protocol = 0;
  Port source_port = 0;  ///< TCP, UDP, UDP-Lite, SCTP, DCCP; else 0.
  Port destination_port = 0;
  uint8_t tcp_flags = 0;
  uint8_t icmp_type = 0;
  uint8_t icmp_code = 0;
  uint16_t icmp_id = 0;     ///< Of requests and their answers, else 0.
  size_t header_bytes = 0;  ///< 0 where even that could not be read.
  size_t total_bytes = 0;   ///< Header and payload; what follows is padding.
  bool later_fragment = false;

  [[nodiscard]] uint8_t dscp() const { return static_cast<uint8_t>(tos >> 2); }
  [[nodiscard]] FlowTuple tuple() const;
};

struct ReadOptions {
  bool ip_checksum = true;
  bool transport_checksum = true;  ///< TCP, UDP and ICMP, of whole packets.
  /// Bytes of the packet on the wire, where a capture kept less; 0: as many as there are.
  size_t wire_bytes = 0;
};

/// The least bytes of a protocol's header that hold what we read of it: 20 for TCP, 8 for UDP; 0 for protocols of which
/// nothing is read.
size_t transport_header_bytes(uint8_t number);

/// Reads an IPv4 packet (RFC 791, RFC 9293, RFC 768, RFC 792) at the front of `packet`. Fields behind the place of a
/// fault are zero; a fragment's addresses and protocol are filled in, the transport header is not.
Ipv4 read_ipv4(Bytes packet, const ReadOptions& options = {});

/// True for an ARP message (RFC 826) between Ethernet and IPv4 that says nothing implausible: request or reply, the
/// sender is the frame's and a single station, its address no multicast, broadcast or loopback.
bool is_plausible_arp(const Ethernet& ethernet, Bytes message);

/// The Internet checksum's sum of 16-bit words (RFC 1071), folded to 16 bits, not inverted; `sum` goes on from before.
/// An odd last byte counts as the high one of a word.
uint16_t checksum_add(Bytes bytes, uint32_t sum = 0);

}  // namespace tails::wire
