#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "net/wire.h"

namespace tails::fastpath {

/// A part of a fragmented IPv4 packet (RFC 791 section 3.2) in its frame. Host byte order.
struct Fragment {
  uint32_t source = 0;
  uint32_t destination = 0;
  uint16_t id = 0;
  uint8_t protocol = 0;
  uint8_t dscp = 0;
  uint8_t ecn = 0;             ///< RFC 3168: 0 not capable, 1 and 2 capable, 3 congestion was met.
  bool has_more = false;       ///< It is not the last one.
  bool says_whole = false;     ///< "Don't fragment": nobody on the way did, so the sender knew why.
  uint32_t offset = 0;         ///< Of the payload in the whole packet's, in bytes.
  uint32_t payload_bytes = 0;  ///< On the wire.
  uint32_t payload_kept = 0;   ///< Of them in the frame; fewer only where a capture was cut.
  size_t ethernet_bytes = 0;   ///< 14, or 18 with a tag.
  size_t ip_bytes = 0;         ///< The IP header's.
  std::optional<uint16_t> vlan;

  [[nodiscard]] uint32_t end() const { return offset + payload_bytes; }
};

/// Nullopt where the frame is no fragment, or so damaged that it is dropped as what it is. `options` as for read_ipv4,
/// its `wire_bytes` those of the frame.
std::optional<Fragment> read_fragment(wire::Bytes frame, const wire::ReadOptions& options = {});

/// Why a fragment was dropped. All but the last five also refuse the packet that it belongs to, with whatever was there
/// of it and what is still to come (as RFC 5722 wants it for IPv6).
enum class FragmentFault : uint8_t {
  kEmpty,         ///< Without payload.
  kUneven,        ///< Not the last one, and no multiple of eight bytes.
  kTooLong,       ///< The packet would be longer than a packet can be, or than we take.
  kTiny,          ///< The first one, and shorter than the transport header (RFC 1858).
  kTooMany,       ///< In too many pieces.
  kOverlap,       ///< Says something of bytes that another one said something else of.
  kInconsistent,  ///< Lies behind the end, or says that it is elsewhere.
  kMixedEcn,      ///< Some capable, some not (RFC 3168 section 5.3).
  kRefused,       ///< Its packet was refused before.
  kDuplicate,     ///< Was there already, byte for byte. The packet goes on.
  kTimeout,       ///< Its packet was not whole in time.
  kNoRoom,        ///< Its packet was the oldest of whoever had most when room was wanted.
  kUnfinished,    ///< The capture ended before its packet was whole.
};
inline constexpr size_t kFragmentFaultCount = 13;

/// "too_long": as counters are named.
constexpr std::string_view name(FragmentFault fault) {
  constexpr std::array<std::string_view, kFragmentFaultCount> kNames = {
      "empty",     "uneven",  "too_long",  "tiny",    "too_many", "overlap",   "inconsistent",
      "mixed_ecn", "refused", "duplicate", "timeout", "no_room",  "unfinished"};
  return kNames.at(static_cast<size_t>(fault));
}

}  // namespace tails::fastpath
