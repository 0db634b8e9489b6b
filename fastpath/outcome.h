#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "net/wire.h"

namespace tails::fastpath {

/// What became of a frame. The first three pass, all others are dropped; each is counted by itself.
enum class Outcome : uint8_t {
  kAccepted,  ///< By a policy entry.
  kArp,       ///< [wire] pass.
  kDhcp,      ///< [wire] pass.
  kBlocked,   ///< By a policy entry.
  kShortFrame,
  kVlan,  ///< An 802.1Q tag where none belongs.
  kIpv6,
  kNotIp,
  kBadArp,           ///< Implausible, or ARP does not pass.
  kLoopbackAddress,  ///< The rules accept it, but 127/8 as source or destination is always a leak on a wire.
  kUnknownTag,
  kOwnerChanged,  ///< A packet of a flow that is not TCP, in the flow's own direction, by somebody else.
  kTableFull,     ///< No room for a new flow.
  // wire::Fault, in its order from kIpShort on.
  kIpShort,
  kIpVersion,
  kIpHeaderLength,
  kIpTotalLength,
  kIpChecksum,
  kFragment,
  kTransportLength,
  kTransportChecksum,
};
inline constexpr size_t kOutcomeCount = 21;

constexpr bool passes(Outcome outcome) { return outcome <= Outcome::kDhcp; }

/// Not for kNone and kCut.
constexpr Outcome outcome_of(wire::Fault fault) {
  return static_cast<Outcome>(static_cast<unsigned>(Outcome::kIpShort) + static_cast<unsigned>(fault) -
                              static_cast<unsigned>(wire::Fault::kIpShort));
}
static_assert(outcome_of(wire::Fault::kTransportChecksum) == Outcome::kTransportChecksum);

/// "ipv6", "bad_arp": as counters are named.
constexpr std::string_view name(Outcome outcome) {
  constexpr std::array<std::string_view, kOutcomeCount> kNames = {"accepted",
                                                                  "arp",
                                                                  "dhcp",
                                                                  "blocked",
                                                                  "short_frame",
                                                                  "vlan",
                                                                  "ipv6",
                                                                  "not_ip",
                                                                  "bad_arp",
                                                                  "loopback_address",
                                                                  "unknown_tag",
                                                                  "owner_changed",
                                                                  "flow_table_full",
                                                                  "ip_short",
                                                                  "ip_version",
                                                                  "ip_header_length",
                                                                  "ip_total_length",
                                                                  "ip_checksum",
                                                                  "fragment",
                                                                  "transport_length",
                                                                  "transport_checksum"};
  return kNames[static_cast<size_t>(outcome)];
}

}  // namespace tails::fastpath
