#pragma once

#include <compare>
#include <cstdint>

#include "net/packet.h"

namespace tails {

/// What the packets of one direction of a flow have in common; two of them name a flow.
/// A plain value, host byte order. Both addresses have the same family.
struct FlowTuple {
  uint8_t protocol = protocol::kTcp;
  /// Ports are zero for protocols without them; for GRE they are its two keys.
  Endpoint source;
  Endpoint destination;
  uint8_t icmp_type = 0;  ///< ICMP or ICMPv6 only, like the next two.
  uint8_t icmp_code = 0;
  uint16_t icmp_id = 0;

  [[nodiscard]] constexpr Family family() const { return source.address.family; }
  [[nodiscard]] constexpr bool is_icmp() const {
    return protocol == (family() == Family::kIpv4 ? protocol::kIcmp : protocol::kIcmpv6);
  }
  friend constexpr auto operator<=>(const FlowTuple&, const FlowTuple&) = default;
};

}  // namespace tails
