#pragma once

#include <emmintrin.h>

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

/// A bit for the entry that has the key, at its place; 0 where there is none. All four at once and without a branch:
/// which of them it is nobody can predict, and a wrong guess costs as much as the line of cache. Only what every x86-64
/// has.
[[nodiscard]] [[gnu::always_inline]] inline uint32_t places_of(const FlowBucket& bucket, const FlowKey& key) {
  const __m128i mask = _mm_set_epi32(FlowEntry::kClassMask, -1, -1, -1);
  const __m128i wanted = _mm_load_si128(reinterpret_cast<const __m128i*>(&key));
  const auto equal = [&](unsigned i) __attribute__((always_inline)) {
    const __m128i entry = _mm_load_si128(reinterpret_cast<const __m128i*>(&bucket.entries[i]));
    return _mm_cmpeq_epi32(_mm_and_si128(entry, mask), wanted);
  };
  const __m128i words = _mm_packs_epi16(_mm_packs_epi32(equal(0), equal(1)), _mm_packs_epi32(equal(2), equal(3)));
  // Four bytes for each entry, all of them set where it is the one.
  const __m128i whole = _mm_cmpeq_epi32(words, _mm_set1_epi32(-1));
  return static_cast<uint32_t>(_mm_movemask_ps(_mm_castsi128_ps(whole)));
}

/// What makes a table's hashes unpredictable.
struct HashSeeds {
  static constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15U;

  /// Four parts of 32 bits out of 64 unpredictable ones.
  static HashSeeds of(uint64_t seed) {
    HashSeeds seeds{};
    for (uint32_t& part : seeds.part) {
      seed = (seed + kMultiplier) * 0xD6E8FEB86659FD93U;
      part = static_cast<uint32_t>(seed >> 32);
    }
    seeds.part[3] |= 0x80000000;  // What ports are multiplied by is never small.
    return seeds;
  }

  uint32_t part[4];
};

/// NH (Black et al., UMAC, 1999): sums of products of 32-bit words, so that eight keys are hashed at once where the
/// processor can; then one round that lets every bit of the sum reach the bits that name buckets.
[[nodiscard]] [[gnu::always_inline]] inline uint64_t hash_of(const FlowKey& key, const HashSeeds& seeds) {
  const uint64_t inside = static_cast<uint32_t>(key.ends) + seeds.part[0];
  const uint64_t outside = static_cast<uint32_t>(key.ends >> 32) + seeds.part[1];
  const uint64_t ports = static_cast<uint32_t>(key.rest) + seeds.part[2];
  const uint64_t flow_class = static_cast<uint32_t>(key.rest >> 32) + seeds.part[3];
  uint64_t h = inside * outside + ports * flow_class;
  h = (h ^ h >> 32) * HashSeeds::kMultiplier;
  return h ^ h >> 32;
}

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
  /// Buckets of the largest table: a place in it, counted in words of eight bytes, fits 31 bits.
  static constexpr uint64_t kMaxBuckets = uint64_t{1} << 27;

  FlowBucket* buckets;
  uint32_t mask;  ///< Number of buckets less one.
  HashSeeds seeds;
  uint32_t generation;                                     ///< 0 or 1.
  uint16_t now_ticks[16];                                  ///< By phase.
  alignas(64) uint16_t fresh_ticks[kFlowClassCount * 16];  ///< By class and phase: a refreshed flow's last tick.
  Expectation expected[kExpectations];

  [[nodiscard]] [[gnu::always_inline]] uint64_t hash(const FlowKey& key) const { return hash_of(key, seeds); }

  [[nodiscard]] [[gnu::always_inline]] uint32_t first_bucket(uint64_t hash) const {
    return static_cast<uint32_t>(hash) & mask;
  }
  [[nodiscard]] [[gnu::always_inline]] uint32_t second_bucket(uint64_t hash) const {
    const uint32_t second = static_cast<uint32_t>(hash >> 32) & mask;
    return second == first_bucket(hash) ? second ^ 1 : second;
  }
  [[nodiscard]] [[gnu::always_inline]] bool lives(uint32_t state) const {
    return static_cast<int16_t>((state >> FlowEntry::kTickShift) - now_ticks[state >> FlowEntry::kPhaseShift & 0xF]) >=
           0;
  }
};

}  // namespace tails::fastpath
