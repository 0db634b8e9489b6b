#pragma once

#include <cstdint>

#include "fastpath/wire_view.h"
#include "net/tuple.h"

namespace tails::fastpath {

/// The protocols that flows tell apart by more than their number. Never 0, so that no key equals an empty entry.
enum class FlowClass : uint8_t { kTcp = 1, kUdp, kIcmp, kUdplite, kSctp, kDccp, kOther };
inline constexpr unsigned kFlowClassCount = 8;

constexpr FlowClass flow_class(uint8_t number) {
  switch (number) {
    case protocol::kTcp: return FlowClass::kTcp;
    case protocol::kUdp: return FlowClass::kUdp;
    case protocol::kIcmp: return FlowClass::kIcmp;
    case protocol::kUdplite: return FlowClass::kUdplite;
    case protocol::kSctp: return FlowClass::kSctp;
    case protocol::kDccp: return FlowClass::kDccp;
    default: return FlowClass::kOther;
  }
}

/// What names a flow: its two ends as they lie to the filter, so that both directions have one key without comparing.
/// 16 bytes, as an entry of the flow table begins.
///
/// For ICMP `inside_port` is the id and `outside_port` says type and code of the request and who sent it; for protocols
/// without ports `inside_port` is the protocol's number.
struct alignas(16) FlowKey {
  uint32_t inside = 0;
  uint32_t outside = 0;
  uint16_t inside_port = 0;
  uint16_t outside_port = 0;
  uint32_t flow_class = 0;

  friend bool operator==(const FlowKey&, const FlowKey&) = default;
};

/// Type of the request that an ICMP message is or answers (RFC 792, RFC 950); 0, which no request has, for all others:
/// they never have a flow.
constexpr uint8_t icmp_request_type(uint8_t type) {
  switch (type) {
    case 0: return 8;
    case 8:
    case 13:
    case 15:
    case 17: return type;
    case 14:
    case 16:
    case 18: return static_cast<uint8_t>(type - 1);
    default: return 0;
  }
}

/// The second of an ICMP key's ports.
constexpr uint16_t icmp_outside_port(uint8_t type, uint8_t code, Side from) {
  const uint8_t request = icmp_request_type(type);
  const bool by_outside = (request == type) == (from == Side::kOutside);
  return static_cast<uint16_t>(code << 8 | (by_outside ? 0x80 : 0) | request);
}

/// The key of a packet's flow. An ICMP error has one too, but never a flow.
constexpr FlowKey flow_key(Side from, const FlowTuple& tuple) {
  const bool out = from == Side::kInside;
  const Endpoint& inside = out ? tuple.source : tuple.destination;
  const Endpoint& outside = out ? tuple.destination : tuple.source;
  FlowKey key{inside.address.v4_bits(), outside.address.v4_bits(), inside.port, outside.port, 0};
  const FlowClass c = flow_class(tuple.protocol);
  key.flow_class = static_cast<uint32_t>(c);
  if (c == FlowClass::kIcmp) {
    key.inside_port = tuple.icmp_id;
    key.outside_port = icmp_outside_port(tuple.icmp_type, tuple.icmp_code, from);
  } else if (c == FlowClass::kOther) {
    key.inside_port = tuple.protocol;
  }
  return key;
}

}  // namespace tails::fastpath
