#pragma once

#include <cstdint>
#include <optional>

#include "fastpath/wire_view.h"
#include "net/wire.h"

namespace tails::fastpath {

/// A frame as a capture holds it. The bytes are the reader's.
struct CapturedFrame {
  uint64_t seconds = 0;      ///< Since 1970, as the capture says.
  uint32_t nanoseconds = 0;  ///< 0..999,999,999
  /// Always begins with an Ethernet header: where the capture has another one, or none, it is made up.
  wire::Bytes bytes;
  size_t wire_bytes = 0;     ///< What there was of it on the wire; more than `bytes` where the capture was cut.
  size_t kept_bytes = 0;     ///< What the capture kept, counted from the beginning of its own link header.
  bool has_stations = true;  ///< The Ethernet header says who sent it.
  std::optional<Side> from;  ///< Where the capture itself says whether its machine sent it.
  bool is_loopback = false;  ///< Was never on a wire.
};

}  // namespace tails::fastpath
