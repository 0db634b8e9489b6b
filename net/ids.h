#pragma once

#include <compare>
#include <cstdint>

namespace tails {

/// A user number. 4294967295 (-1) is "no user" to the kernel and never a valid value of ours:
/// the policy parser refuses it.
struct Uid {
  uint32_t value = 0;
  friend constexpr auto operator<=>(Uid, Uid) = default;
};

struct Gid {
  uint32_t value = 0;
  friend constexpr auto operator<=>(Gid, Gid) = default;
};

inline constexpr uint32_t kInvalidId = 0xFFFFFFFF;

/// A firewall mark of a packet (`skb->mark`) or of a flow (`ct->mark`).
struct Mark {
  uint32_t value = 0;
  friend constexpr auto operator<=>(Mark, Mark) = default;
};

/// A transport port, host byte order.
using Port = uint16_t;
inline constexpr Port kLastPort = 65535;

/// Ports `first`..`last`, both included, host byte order. The default is every port.
struct PortRange {
  Port first = 0;
  Port last = kLastPort;

  static constexpr PortRange one(Port port) { return {port, port}; }
  [[nodiscard]] constexpr bool contains(Port port) const { return first <= port && port <= last; }
  [[nodiscard]] constexpr bool is_any() const { return first == 0 && last == kLastPort; }
  friend constexpr auto operator<=>(const PortRange&, const PortRange&) = default;
};

/// IP protocol numbers that we name (IANA "Assigned Internet Protocol Numbers").
namespace protocol {
inline constexpr uint8_t kIcmp = 1;
inline constexpr uint8_t kTcp = 6;
inline constexpr uint8_t kUdp = 17;
inline constexpr uint8_t kDccp = 33;
inline constexpr uint8_t kIcmpv6 = 58;
inline constexpr uint8_t kSctp = 132;
inline constexpr uint8_t kUdplite = 136;

/// Whether its header begins with a source and a destination port, of those that we name.
constexpr bool carries_ports(unsigned number) {
  return number == kTcp || number == kUdp || number == kUdplite || number == kSctp || number == kDccp;
}
}  // namespace protocol

/// TCP header flags as the low byte of the flags field (RFC 9293 section 3.1).
namespace tcp_flag {
inline constexpr uint8_t kFin = 0x01;
inline constexpr uint8_t kSyn = 0x02;
inline constexpr uint8_t kRst = 0x04;
inline constexpr uint8_t kPsh = 0x08;
inline constexpr uint8_t kAck = 0x10;
inline constexpr uint8_t kUrg = 0x20;
/// The flags that a policy's "SYN" looks at: of these only SYN is set (ECN bits pass).
inline constexpr uint8_t kSynMask = kFin | kSyn | kRst | kAck;
}  // namespace tcp_flag

}  // namespace tails
