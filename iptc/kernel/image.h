#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "iptc/kernel/layout.h"
#include "iptc/kernel/raw_table.h"
#include "net/result.h"

namespace tails::iptc::kernel {

/// A table as IPT_SO_GET_INFO and IPT_SO_GET_ENTRIES give it: chains follow one another, jumps are offsets.
struct Image {
  Family family = Family::kIpv4;
  std::string table;
  uint32_t valid_hooks = 0;  ///< Bit per hook number (linux/netfilter.h).
  std::array<uint32_t, kHooks> hook_entry{};
  std::array<uint32_t, kHooks> underflow{};
  std::vector<std::byte> entries;
  size_t begin = 0;  ///< Where the first entry stands in `entries`, within them: other things may be before it.
};

/// Makes a RawTable of it, in the image's own bytes. Pure; any bytes may be given.
/// Error (kRefused): this is not a table as the tools of libiptc leave it (sizes that do not fit, a chain without end).
Result<RawTable> from_image(Image image, Abi abi = kNativeAbi);

}  // namespace tails::iptc::kernel
