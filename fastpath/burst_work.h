#pragma once

#include <cstdint>

#include "fastpath/flow_entry.h"
#include "fastpath/questions.h"

namespace tails::fastpath {

/// flow_model::step for packets of one side, packed: StateIndex in bits 0–2, next phase in 4–7, and what follows.
namespace step_bits {
inline constexpr uint16_t kState = 0x7, kRefreshes = 1U << 8, kOpens = 1U << 9;
/// If the packet passes there is more to do than to refresh: a flow begins, ends or changes its phase, or there is
/// none.
inline constexpr uint16_t kCare = 1U << 15;
inline constexpr unsigned kPhaseShift = 4;
/// Index of a step: the bits of phase and opener as an entry's state has them, and the event.
inline constexpr uint32_t kStateBits = 0x1F0;
inline constexpr unsigned kCount = 512;
}  // namespace step_bits

/// The steps of one side.
struct Steps {
  uint16_t all[step_bits::kCount];
  /// What the lookup wants of each: StateIndex, and kCare as the highest bit. Eight registers hold it.
  alignas(64) uint8_t brief[step_bits::kCount];
};

/// What parsing looks up per packet. By TCP flags: flow_model::Event, and the class of kinds. By owner tag: where its
/// heads begin, and whether the tag means anything.
struct ParseTables {
  alignas(64) uint8_t event[256];
  alignas(64) uint8_t kind[256];
  alignas(64) uint16_t owner_offset[64];
  alignas(64) uint8_t is_known[64];  ///< 0 or 255.
  uint8_t udp_kind;
};

/// What the stages of a burst hand on, by the frame's place in it: a column per field, so that loops handle many
/// packets at once, and all in one block, so that a single address leads to every column.
struct BurstWork {
  alignas(64) FlowKey key[kBurst];
  alignas(64) uint64_t hash[kBurst];
  alignas(64) uint32_t bucket[kBurst];  ///< The flow's first.
  alignas(64) uint32_t found[kBurst];   ///< The bucket that has the flow; where none has, any.
  alignas(64) uint32_t state[kBurst];   ///< The entry's, as the lookup found it; `none`'s without an entry.
  alignas(64) uint16_t base[kBurst];    ///< Index of the packet's heads: by owner and kind, without state.
  alignas(64) uint16_t head[kBurst];    ///< A column or a verdict; after classifying a verdict.
  alignas(64) uint8_t event[kBurst];    ///< flow_model::Event.
  alignas(64) uint8_t owner[kBurst];    ///< The frame's tag.
  alignas(64) uint8_t slot[kBurst];     ///< Of the entry in its bucket.
  FlowEntry none;                       ///< Stands for "no flow": a flow of this side, now, in no phase.
};

}  // namespace tails::fastpath
