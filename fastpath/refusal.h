#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "net/wire.h"

namespace tails::fastpath {

/// An ICMP error's Ethernet, IPv4 and ICMP header, the longest IPv4 header and eight bytes of what was refused.
inline constexpr size_t kMaxRefusalBytes = 14 + 20 + 8 + 60 + 8;

/// Writes into `out` (at least kMaxRefusalBytes) the frame that tells the sender of `frame` that it is refused: a reset
/// for TCP (RFC 9293 section 3.10.7.1), for all else ICMP "port unreachable" (RFC 792, RFC 1122 section 3.2.2), as the
/// kernel's REJECT does. It comes from the address that was asked for: the filter has none of its own.
///
/// Returns its length without padding; 0 where none may be sent: a reset, an ICMP message that is no request, what went
/// to or came from more than one station, what is damaged. Pure; `frame` and `out` do not overlap.
size_t write_refusal(wire::Bytes frame, std::span<std::byte> out);

/// So many per second, and so many at once after a pause. Time is given. Plain value.
class RateLimit {
 public:
  /// Neither is zero.
  RateLimit(uint32_t per_second, uint32_t burst) : interval_ns_(1'000'000'000 / per_second), burst_(burst) {}

  /// Whether one more may go. `now_ns` never goes backwards.
  bool take(uint64_t now_ns) {
    const uint64_t earliest = now_ns - std::min(now_ns, interval_ns_ * burst_);
    if (used_until_ns_ < earliest) used_until_ns_ = earliest;
    if (used_until_ns_ + interval_ns_ > now_ns) return false;
    used_until_ns_ += interval_ns_;
    return true;
  }

 private:
  uint64_t interval_ns_;
  uint64_t burst_;
  uint64_t used_until_ns_ = 0;  ///< The time that those taken so far have used up.
};

}  // namespace tails::fastpath
