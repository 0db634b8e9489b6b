#pragma once

#include <cstddef>
#include <cstdint>

namespace tails::fastpath {

/// Writes the lower 16 bits of `value` at `at`, in the order of the wire.
inline void put16(std::byte* at, uint32_t value) {
  at[0] = static_cast<std::byte>(value >> 8 & 0xFF);
  at[1] = static_cast<std::byte>(value & 0xFF);
}

/// Writes `value` at `at`, in the order of the wire.
inline void put32(std::byte* at, uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value & 0xFFFF);
}

/// The 32 bits at `at`, which are in the order of the wire.
inline uint32_t get32(const std::byte* at) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | std::to_integer<uint32_t>(at[i]);
  return value;
}

}  // namespace tails::fastpath
