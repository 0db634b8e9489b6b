#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "fastpath/loops.h"

namespace tails::fastpath {

/// Finds the interval that an IPv4 address lies in, and gives the interval's 16-bit value.
///
/// Up to 33 intervals: all borders are compared at once, without touching memory beyond two lines of cache. More: a
/// table by the upper 16 bits whose entries are a value, a leaf of up to 16 intervals (one line of cache, searched
/// with two comparisons), or a node for the next 8 bits. Thread-safe after construction.
class AddressIndex {
 public:
  /// `starts`: first addresses, ascending from 0. `values`: as many.
  AddressIndex(std::span<const uint32_t> starts, std::span<const uint16_t> values, Loops loops);

  /// Values of `count` addresses in host byte order, at most kBurst.
  void lookup(const uint32_t* addresses, uint16_t* values, unsigned count) const;
  [[nodiscard]] size_t bytes() const;

 private:
  static constexpr size_t kFew = 33;

  /// 15 borders (the first address of all intervals but the first) and their 16 values; places that are left over
  /// have the greatest border and the last value.
  struct alignas(64) Leaf {
    uint16_t borders[16];
    uint16_t values[16];
  };
  struct Node {
    uint32_t entries[256];
  };
  // An entry: what it is in the upper two bits, a value or an index in the others.
  static constexpr uint32_t kLeaf = 1U << 30, kNode = 2U << 30, kIndex = kLeaf - 1;

  uint32_t entry(std::span<const uint32_t> starts, std::span<const uint16_t> values, uint32_t first, unsigned bits,
                 size_t& at);
  void lookup_few(const uint32_t* addresses, uint16_t* values, unsigned count) const;
  void lookup_few_avx512(const uint32_t* addresses, uint16_t* values, unsigned count) const;
  void lookup_many(const uint32_t* addresses, uint16_t* values, unsigned count) const;
  void lookup_many_avx512(const uint32_t* addresses, uint16_t* values, unsigned count) const;

  bool is_few_;
  Loops loops_;
  alignas(64) int32_t few_borders_[32];  ///< Signed, so that SSE2 can compare them.
  uint16_t few_values_[kFew];
  std::vector<uint32_t> root_;
  std::vector<Leaf> leaves_;
  std::vector<Node> nodes_;
};

}  // namespace tails::fastpath
