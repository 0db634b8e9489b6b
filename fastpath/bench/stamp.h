#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "net/wire.h"

namespace tails::fastpath::bench {

/// What a frame of a bench carries in its last six bytes, in network byte order: its number, and a check of it that
/// keeps the frames of other programs, and damaged ones, from being taken for ours.
struct Stamp {
  static constexpr size_t kBytes = 6;

  uint32_t sequence = 0;
  uint16_t check = 0;

  /// `key`: one number for each run of a bench.
  static constexpr Stamp make(uint32_t sequence, uint32_t key) {
    uint32_t mixed = (sequence ^ key) * 0x9E3779B1U;
    mixed ^= mixed >> 15;
    mixed *= 0x85EBCA77U;
    return {sequence, static_cast<uint16_t>(mixed >> 16)};
  }
  [[nodiscard]] constexpr bool fits(uint32_t key) const { return make(sequence, key).check == check; }

  /// Nullopt for a frame too short to have one.
  static std::optional<Stamp> read(wire::Bytes frame) {
    if (frame.size() < kBytes) return std::nullopt;
    const auto byte = [&](size_t i) { return std::to_integer<uint32_t>(frame[frame.size() - kBytes + i]); };
    return Stamp{byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3), static_cast<uint16_t>(byte(4) << 8 | byte(5))};
  }
  /// The three 16-bit words as they stand in the frame.
  [[nodiscard]] constexpr uint16_t word(unsigned i) const {
    return i == 0 ? static_cast<uint16_t>(sequence >> 16) : i == 1 ? static_cast<uint16_t>(sequence) : check;
  }
};

}  // namespace tails::fastpath::bench
