#pragma once

#include <cstdint>

#include "fastpath/flow_key.h"
#include "net/flow_model.h"

namespace tails::fastpath {

using flow_model::Phase;

/// A flow as the table keeps it: the key, and in its last word what is known of the flow.
struct alignas(16) FlowEntry {
  uint64_t ends;   ///< As FlowKey's.
  uint32_t ports;  ///< The lower half of FlowKey's rest.
  /// Bits: class 0–2, bucket's overflow 3, phase 4–7, opened by the outside 8, owner 9–14, generation 15, the last tick
  /// in which it lives 16–31. Zero but for bit 3: the entry is free.
  uint32_t state;

  static constexpr uint32_t kClassMask = 0x7, kOverflow = 0x8, kPhaseMask = 0xF0, kGeneration = 1U << 15,
                            kOwnerMask = 0x3FU << 9;
  static constexpr unsigned kPhaseShift = 4, kOpenerShift = 8, kOwnerShift = 9, kTickShift = 16;

  [[nodiscard]] bool is_free() const { return (state & kClassMask) == 0; }
  [[nodiscard]] Phase phase() const { return static_cast<Phase>(state >> kPhaseShift & 0xF); }
  [[nodiscard]] Side opener() const { return static_cast<Side>(state >> kOpenerShift & 1); }
  [[nodiscard]] uint8_t owner() const { return static_cast<uint8_t>(state >> kOwnerShift & 0x3F); }
  [[nodiscard]] unsigned generation() const { return state >> 15 & 1; }
  [[nodiscard]] uint16_t last_tick() const { return static_cast<uint16_t>(state >> kTickShift); }
  [[nodiscard]] FlowKey key() const { return {ends, uint64_t{state & kClassMask} << 32 | ports}; }
};
static_assert(sizeof(FlowEntry) == 16);

/// Four entries: one line of cache, and what a lookup reads.
struct alignas(64) FlowBucket {
  static constexpr unsigned kEntries = 4;

  FlowEntry entries[kEntries];
  /// Some flow whose first bucket this is lives in its second. Two bits, either of which says so; see FlowTable.
  [[nodiscard]] [[gnu::always_inline]] bool overflowed() const {
    return ((entries[0].state | entries[1].state) & FlowEntry::kOverflow) != 0;
  }
};

/// What an entry should look like if there is nothing to do but let its packet pass: refreshed in this tick already, of
/// this generation, and, where it counts, of the packet's owner. Indexed by the entry's lower nine bits (class, phase,
/// opener).
struct Expectation {
  uint32_t state = 0;  ///< Tick and generation; the owner is the packet's.
  uint32_t mask = 0;   ///< Which bits must agree. From the outside the owner's never count.
};

/// What lookups need to know of a flow table. Always inlined: the kernels are compiled for several processors, and the
/// linker must not find one of these functions twice.
struct FlowSearch {
  static constexpr unsigned kExpectations = 512;

  FlowBucket* buckets;
  uint64_t mask;  ///< Number of buckets less one.
  uint64_t seed[2];
  uint32_t generation;                         ///< 0 or 1.
  uint16_t now_ticks[16];                      ///< By phase.
  uint16_t fresh_ticks[kFlowClassCount * 16];  ///< By class and phase: the last tick of a flow that is refreshed now.
  Expectation expected[kExpectations];

  [[nodiscard]] [[gnu::always_inline]] uint64_t hash(const FlowKey& key) const { return hash(key, seed[0], seed[1]); }
  [[nodiscard]] [[gnu::always_inline]] static uint64_t hash(const FlowKey& key, uint64_t seed0, uint64_t seed1) {
    // Twice: once is not enough for ports that count up, whose low bits would meet.
    return fold_product(fold_product(key.ends ^ seed0, key.rest ^ seed1), 0x9E3779B97F4A7C15U);
  }
  [[nodiscard]] [[gnu::always_inline]] uint64_t first_bucket(uint64_t hash) const { return hash & mask; }
  [[nodiscard]] [[gnu::always_inline]] uint64_t second_bucket(uint64_t hash) const {
    const uint64_t second = hash >> 32 & mask;
    return second == first_bucket(hash) ? second ^ 1 : second;
  }
  [[nodiscard]] [[gnu::always_inline]] bool lives(uint32_t state) const {
    return static_cast<int16_t>((state >> FlowEntry::kTickShift) - now_ticks[state >> FlowEntry::kPhaseShift & 0xF]) >=
           0;
  }

 private:
  [[gnu::always_inline]] static uint64_t fold_product(uint64_t a, uint64_t b) {
    const __uint128_t product = static_cast<__uint128_t>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
};

}  // namespace tails::fastpath
