#pragma once

#include <cstdint>
#include <optional>

#include "net/address.h"
#include "net/ids.h"
#include "net/interface_name.h"

namespace tails {

/// Where a packet meets the filter. A locally made packet is judged at kOutput, one for this machine
/// at kInput, one that passes through at kForward. The NAT and mangle hooks on the way belong to each.
enum class Hook : uint8_t { kInput, kOutput, kForward };

/// The state conntrack gives a packet. Bits, so that a rule can name several
/// (values of linux/netfilter/xt_conntrack.h).
enum class ConnState : uint16_t {
  kInvalid = 1,
  kEstablished = 2,
  kRelated = 4,
  kNew = 8,
  kUntracked = 256,
};

/// A set of ConnState values.
class StateSet {
 public:
  constexpr StateSet() = default;
  constexpr StateSet(ConnState state) : bits_(static_cast<uint16_t>(state)) {}  // NOLINT(google-explicit-constructor)
  static constexpr StateSet from_bits(uint16_t bits) {
    StateSet set;
    set.bits_ = bits;
    return set;
  }
  [[nodiscard]] constexpr bool contains(ConnState state) const { return (bits_ & static_cast<uint16_t>(state)) != 0; }
  [[nodiscard]] constexpr uint16_t bits() const { return bits_; }
  [[nodiscard]] constexpr bool empty() const { return bits_ == 0; }
  friend constexpr StateSet operator|(StateSet a, StateSet b) { return from_bits(a.bits_ | b.bits_); }
  friend constexpr auto operator<=>(const StateSet&, const StateSet&) = default;

 private:
  uint16_t bits_ = 0;
};
constexpr StateSet operator|(ConnState a, ConnState b) { return StateSet(a) | StateSet(b); }

/// Whether a packet goes the way of its flow's first packet, or back.
enum class Direction : uint8_t { kOriginal, kReply };

/// Kinds of address as the routing table sees them (bits of linux/netfilter/xt_addrtype.h).
enum class AddressType : uint16_t {
  kUnspec = 1 << 0,
  kUnicast = 1 << 1,
  kLocal = 1 << 2,
  kBroadcast = 1 << 3,
  kAnycast = 1 << 4,
  kMulticast = 1 << 5,
  kBlackhole = 1 << 6,
  kUnreachable = 1 << 7,
  kProhibit = 1 << 8,
};

/// An address and a transport port, host byte order.
struct Endpoint {
  IpAddress address;
  Port port = 0;
  friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

/// Everything about one packet that a rule of ours can look at, as the packet reaches its first hook
/// (before NAT). A plain value: connection state is an input here, nothing computes it.
/// Fields that the protocol does not have are zero and never looked at.
struct Packet {
  Hook hook = Hook::kOutput;
  uint8_t protocol = protocol::kTcp;
  IpAddress source;  ///< Both addresses have the same family.
  IpAddress destination;
  Port source_port = 0;
  Port destination_port = 0;
  uint8_t tcp_flags = 0;  ///< tcp_flag bits, low byte of the flags field.
  uint8_t icmp_type = 0;  ///< ICMP or ICMPv6.
  uint8_t icmp_code = 0;
  bool later_fragment =
      false;               ///< Not the first fragment: no transport header (conntrack reassembles before the hooks).
  InterfaceName in;        ///< Empty at kOutput.
  InterfaceName out;       ///< Empty at kInput.
  std::optional<Uid> uid;  ///< Owner of the socket that sent it; empty: no socket (kernel's own, forwarded, orphaned).
  std::optional<Gid> gid;  ///< Its effective group; present exactly when `uid` is.
  ConnState state = ConnState::kNew;
  Direction direction = Direction::kOriginal;  ///< Meaningless for kInvalid and kUntracked.
  uint32_t status = 0;                         ///< IPS_* bits of linux/netfilter/nf_conntrack_common.h.
  Mark mark;
  Mark connmark;
  uint8_t dscp = 0;  ///< 0..63
  AddressType source_type = AddressType::kUnicast;
  AddressType destination_type = AddressType::kUnicast;
  /// For a packet of a flow that is already known: the destination that NAT gave the flow when it was
  /// opened and that the kernel puts in again before the filter (original direction only).
  std::optional<Endpoint> recorded_nat;

  [[nodiscard]] constexpr Family family() const { return destination.family; }
  /// SYN in the policy's sense: of FIN, SYN, RST, ACK only SYN.
  [[nodiscard]] constexpr bool is_tcp_syn() const {
    return protocol == protocol::kTcp && (tcp_flags & tcp_flag::kSynMask) == tcp_flag::kSyn;
  }
  [[nodiscard]] constexpr bool is_icmp() const {
    return protocol == (family() == Family::kIpv4 ? protocol::kIcmp : protocol::kIcmpv6);
  }
  /// The nat table is asked only for packets that open a flow (nf_nat_inet_fn in net/netfilter/nf_nat_core.c).
  [[nodiscard]] constexpr bool opens_flow() const {
    return direction == Direction::kOriginal && !recorded_nat &&
           (state == ConnState::kNew || (state == ConnState::kRelated && !is_icmp()));
  }
  friend bool operator==(const Packet&, const Packet&) = default;
};

/// What happens to a packet. kUnknown: it depends on a match that we cannot read.
enum class Verdict : uint8_t { kAccept, kReject, kDrop, kUnknown };

/// Yes, no, or "depends on what we cannot read".
enum class Tristate : uint8_t { kNo, kYes, kUnknown };

}  // namespace tails
