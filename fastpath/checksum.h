#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

/// Internet checksums in the byte order of the machine: the sum of 16-bit words does not care (RFC 1071 section 2).
namespace tails::fastpath {

inline uint64_t load64(const std::byte* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
inline uint32_t load32(const std::byte* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
inline uint16_t load16(const std::byte* at) {
  uint16_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// Adds 16-bit words: `bytes` of them from `at`, of which up to 7 more may be read. Sums of up to 64 KiB fit.
inline uint64_t sum_words(const std::byte* at, size_t bytes, uint64_t sum) {
  const auto add = [&](uint64_t words) { sum += (words & 0xFFFFFFFF) + (words >> 32); };
  size_t i = 0;
  for (; i + 8 <= bytes; i += 8) add(load64(at + i));
  // The rest without a branch: bytes beyond the end count as zero.
  const size_t rest = bytes - i;
  const uint64_t mask = (uint64_t{1} << (8 * rest)) - 1;
  add(load64(at + i) & mask);
  return sum;
}

/// To 16 bits. A packet with a right checksum in it sums up to 0xFFFF.
inline uint16_t fold_sum(uint64_t sum) {
  sum = (sum & 0xFFFFFFFF) + (sum >> 32);
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

}  // namespace tails::fastpath
