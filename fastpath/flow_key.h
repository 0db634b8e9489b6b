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
/// Two words and not six fields: a key that was stored in small pieces and is read back whole makes the processor wait
/// until all of them have reached the cache, which costs a third of the parsing.
struct alignas(16) FlowKey {
  uint64_t ends = 0;  ///< Inside address in the lower half, outside in the upper.
  uint64_t rest = 0;  ///< Inside port 0–15, outside port 16–31, class 32–34.

  static constexpr FlowKey make(uint32_t inside, uint32_t outside, uint16_t inside_port, uint16_t outside_port,
                                FlowClass flow_class) {
    return {uint64_t{outside} << 32 | inside,
            uint64_t{static_cast<uint8_t>(flow_class)} << 32 | uint64_t{outside_port} << 16 | inside_port};
  }
  [[nodiscard]] constexpr uint32_t inside() const { return static_cast<uint32_t>(ends); }
  [[nodiscard]] constexpr uint32_t outside() const { return static_cast<uint32_t>(ends >> 32); }
  [[nodiscard]] constexpr uint16_t inside_port() const { return static_cast<uint16_t>(rest); }
  [[nodiscard]] constexpr uint16_t outside_port() const { return static_cast<uint16_t>(rest >> 16); }
  [[nodiscard]] constexpr FlowClass flow_class() const { return static_cast<FlowClass>(rest >> 32); }
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
  uint16_t inside_port = inside.port;
  uint16_t outside_port = outside.port;
  const FlowClass c = flow_class(tuple.protocol);
  if (c == FlowClass::kIcmp) {
    inside_port = tuple.icmp_id;
    outside_port = icmp_outside_port(tuple.icmp_type, tuple.icmp_code, from);
  } else if (c == FlowClass::kOther) {
    inside_port = tuple.protocol;
  }
  return FlowKey::make(inside.address.v4_bits(), outside.address.v4_bits(), inside_port, outside_port, c);
}

}  // namespace tails::fastpath
