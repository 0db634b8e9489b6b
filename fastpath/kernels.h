#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "fastpath/flow_entry.h"

/// The loops that every packet goes through, compiled several times for what processors can do. Which of them a
/// machine runs fastest is measured at the start (`calibrate`), so one binary serves every x86-64.
namespace tails::fastpath {

/// What a packet's protocol, flags, ICMP type and code, and its tag amount to, once looked up: flow_model::Event in the
/// lower half, in the upper what they add to an index of heads.
using Trait = uint32_t;
constexpr Trait make_trait(unsigned event, unsigned heads_offset) { return heads_offset << 16 | event; }
constexpr unsigned event_of(Trait trait) { return trait & 0xFFFF; }
constexpr unsigned offset_of(Trait trait) { return trait >> 16; }

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

/// Results are by the frame's place in the burst.
struct ParseJob {
  Side from;
  std::byte* const* data;
  const uint16_t* length;
  const uint8_t* known_good;  ///< Burst's bits.
  unsigned count;
  const Trait* traits;           ///< TCP by flags, and UDP's behind them.
  const uint16_t* owner_offset;  ///< By tag: what it adds to an index of heads.
  uint64_t known_tags;
  uint32_t tag_mask;  ///< 0x3F where DSCP tells the owner, else 0.
  bool strips_dscp;
  const FlowSearch* flows;

  FlowKey* key;
  uint64_t* hash;
  uint8_t* owner;
  Trait* trait;  ///< With the tag's offset.
};

/// See Pipeline.
struct LookUpJob {
  Side from;
  const FlowSearch* flows;
  FlowEntry* none;  ///< What stands for "no flow".
  const uint8_t* live;
  unsigned live_count;
  const FlowKey* key;
  const uint64_t* hash;
  const uint8_t* owner;
  const Trait* trait;
  const uint16_t* steps;            ///< By step_bits' index.
  const uint16_t* heads;            ///< By the trait's offset + StateIndex (+ answered_offset, from the outside).
  const uint16_t* answered_offset;  ///< By the flow's owner: what it adds for answers from the outside.

  FlowEntry** entry;
  uint32_t* seen_state;
  uint16_t* step;
  uint16_t* head;
  uint8_t* care;   ///< The entry is not what was expected: over, not refreshed yet, an old generation, a stranger.
  uint8_t* asked;  ///< Places of the packets whose head is a column.
  unsigned asked_count;  ///< A result too.
};

struct Kernels {
  std::string_view name;
  /// Fills in what it can of the common frames: no VLAN, 20 bytes of IPv4 header, TCP or UDP, sound in everything.
  /// Returns a bit per frame that is anything else and is left as it was.
  uint64_t (*parse)(const ParseJob& job);
  void (*look_up)(LookUpJob& job);
};

/// Those that this processor can run; the plainest first.
std::span<const Kernels* const> usable_kernels();

/// The fastest of them here and now, found by running each for some milliseconds; always the same once found.
/// Thread-safe.
const Kernels& fastest_kernels();

}  // namespace tails::fastpath
