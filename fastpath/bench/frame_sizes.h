#pragma once

#include <string_view>
#include <vector>

#include "net/result.h"

namespace tails::fastpath::bench {

/// Sizes of frames on the wire, with its checksum of four bytes (RFC 2544 section 9.1), and how many of a round each
/// has.
struct FrameSize {
  unsigned bytes = 64;
  unsigned share = 1;
};

/// Reads "64", "1518", any even number between them, or "IMIX": 7 of 64, 4 of 570, 1 of 1518 bytes. kUsage for
/// anything else.
Result<std::vector<FrameSize>> read_frame_sizes(std::string_view text);

}  // namespace tails::fastpath::bench
