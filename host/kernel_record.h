#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tails::host {

/// One record of /dev/kmsg (dev-kmsg in the kernel's documentation): "6,339,5140900,-;text", its priority and facility,
/// sequence number, time and flags. Lines behind the first are of no interest.
struct KernelRecord {
  unsigned priority = 0;  ///< The lower three bits; above them the facility, 0 for the kernel's own messages.
  uint64_t sequence = 0;
  std::string_view text;  ///< Of the bytes that were read.

  [[nodiscard]] bool is_of_kernel() const { return priority >> 3 == 0; }
};

/// Nullopt where the bytes are no record. Pure.
std::optional<KernelRecord> read_kernel_record(std::string_view bytes);

}  // namespace tails::host
