#pragma once

#include <cstdint>

namespace tails::fastpath {

/// Packets or frames, and their bytes.
struct Count {
  uint64_t packets = 0;
  uint64_t bytes = 0;

  void add(uint64_t length) {
    ++packets;
    bytes += length;
  }
  void add(const Count& other) {
    packets += other.packets;
    bytes += other.bytes;
  }
};

}  // namespace tails::fastpath
