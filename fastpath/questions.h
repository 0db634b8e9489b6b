#pragma once

#include <cstdint>

namespace tails::fastpath {

/// Packets are handled in bursts of at most this many.
inline constexpr unsigned kBurst = 64;

/// What a classifier is asked for a burst of packets whose heads left the verdict open. Host byte order.
/// Only the first `count` of each are set.
struct Questions {
  unsigned count = 0;
  alignas(64) uint32_t destination[kBurst];
  alignas(64) uint32_t source[kBurst];
  alignas(64) uint16_t port[kBurst];  ///< Destination port; whatever the flow's key has where there are none.
  alignas(64) uint16_t source_port[kBurst];
  alignas(64) uint16_t column[kBurst];
};

}  // namespace tails::fastpath
