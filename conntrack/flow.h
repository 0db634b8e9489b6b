#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "net/tuple.h"

namespace tails::conntrack {

/// A conntrack zone and the directions it holds for (linux/netfilter/nf_conntrack_common.h
/// enum nf_ct_zone_... "zone dir"). Zone 0 is the default.
struct Zone {
  enum class Side : uint8_t { kBoth, kOriginal, kReply };
  uint16_t id = 0;
  Side side = Side::kBoth;
  friend constexpr bool operator==(const Zone&, const Zone&) = default;
};

/// States of a TCP flow as conntrack keeps them (enum tcp_conntrack in linux/netfilter/nf_conntrack_tcp.h).
enum class TcpState : uint8_t {
  kNone,
  kSynSent,
  kSynReceived,
  kEstablished,
  kFinWait,
  kCloseWait,
  kLastAck,
  kTimeWait,
  kClose,
  kSynSent2,
};
/// "SYN_SENT", "ESTABLISHED", …; "NONE" for what is out of range.
std::string_view to_string(TcpState state);

/// One entry of the kernel's flow table at the moment it was read. A plain value, host byte order.
struct Flow {
  FlowTuple original;   ///< As the first packet came to the first hook, before NAT.
  FlowTuple reply;      ///< What answers carry: source and destination exchanged, with NAT undone.
  uint32_t status = 0;  ///< IPS_* bits of linux/netfilter/nf_conntrack_common.h.
  uint32_t id = 0;      ///< The kernel's name for the entry. A later flow with the same tuple has another one.
  uint32_t timeout_seconds = 0;
  Mark mark;
  Zone zone;
  std::optional<TcpState> tcp_state;

  /// Where the original direction's packets really go: NAT of the destination applied.
  [[nodiscard]] const Endpoint& real_destination() const { return reply.source; }
  /// What the original direction's packets carry as source when they leave: NAT of the source applied.
  [[nodiscard]] const Endpoint& real_source() const { return reply.destination; }
  [[nodiscard]] bool has_reply() const { return (status & 2) != 0; }  ///< IPS_SEEN_REPLY
  friend bool operator==(const Flow&, const Flow&) = default;
};

/// A value and the bits of it that count.
struct MarkTest {
  uint32_t value = 0;
  uint32_t mask = 0xFFFFFFFF;
  [[nodiscard]] constexpr bool matches(Mark mark) const { return (mark.value & mask) == (value & mask); }
};

/// Which flows: everything that is named must hold. The default is every flow.
struct FlowFilter {
  std::optional<Prefix> to;    ///< Holds the original destination.
  std::optional<Prefix> from;  ///< Holds the original source.
  std::optional<uint8_t> protocol;
  std::optional<MarkTest> mark;
  std::optional<uint16_t> zone;
  std::optional<Family> family;

  [[nodiscard]] bool is_any() const { return !to && !from && !protocol && !mark && !zone && !family; }
  [[nodiscard]] bool matches(const Flow& flow) const;
};

}  // namespace tails::conntrack
