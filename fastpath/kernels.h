#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "fastpath/burst_work.h"
#include "fastpath/outcome.h"

/// The loops that every packet goes through, written several times for what processors can do. Which of them a machine
/// runs fastest is measured at the start (`fastest_kernels`), so one binary serves every x86-64.
namespace tails::fastpath {

struct ParseJob {
  Side from;
  std::byte* const* data;
  const uint16_t* length;
  const uint8_t* known_good;  ///< Burst's bits.
  unsigned count;
  const ParseTables* tables;
  uint8_t tag_mask;  ///< 0x3F where DSCP tells the owner, else 0.
  bool strips_dscp;
  const FlowSearch* flows;
  BurstWork* work;
};

struct LookUpJob {
  Side from;
  const FlowSearch* flows;
  unsigned count;
  const Steps* steps;
  const uint16_t* heads;            ///< By `base` + StateIndex (+ answered_offset, from the outside).
  const uint16_t* answered_offset;  ///< By the flow's owner: what it adds for answers from the outside.
  BurstWork* work;

  // Results, a bit per place. Those of frames that parsing decided mean nothing.
  uint64_t has_flow;
  uint64_t care;   ///< The entry is not what was expected: over, not refreshed yet, an old generation, a stranger.
  uint64_t moves;  ///< The step has kCare.
  uint64_t asked;  ///< The head is a column.
};

/// Packets of a burst with the same verdict.
struct VerdictGroup {
  uint64_t places;  ///< A bit each.
  uint64_t bytes;
  uint16_t verdict;
};
inline constexpr unsigned kVerdictGroups = 6;

struct Kernels {
  std::string_view name;
  /// Fills in what it can of the common frames: no VLAN, 20 bytes of IPv4 header, TCP or UDP, sound in everything. The
  /// tag is stripped from those and no others. Returns a bit per frame that is anything else.
  uint64_t (*parse)(const ParseJob& job);
  /// Entry, state and head of every packet that has a key.
  void (*look_up)(LookUpJob& job);
  /// The questions for the packets of `asked`, in the order of their places, which go to `places`.
  void (*ask)(Side from, const BurstWork& work, uint64_t asked, Questions& questions, uint8_t* places);
  /// Sorts the packets of `live` by verdict into at most kVerdictGroups; those with rarer verdicts stay in `live`.
  unsigned (*group)(const uint16_t* verdict, uint64_t& live, VerdictGroup* groups);
  /// Counts the bytes of each group, whose places may be fewer by now.
  void (*count_bytes)(const uint16_t* length, VerdictGroup* groups, unsigned count);
  /// The places whose flow begins its search in the same bucket as that of `place`.
  uint64_t (*same_bucket)(const BurstWork& work, unsigned place);
  /// Writes kAccepted or kBlocked for each of `places`, by whether it is one of `accepted`.
  void (*mark)(uint64_t places, uint64_t accepted, Outcome* outcomes);
  /// The places of `set` in their order. All 64 bytes of `places` are written. Returns how many there are.
  unsigned (*list)(uint64_t set, uint8_t* places);
};

/// Those that this processor can run; the plainest first.
std::span<const Kernels* const> usable_kernels();

/// The fastest of them here and now, found by running each for some milliseconds; always the same once found.
/// Thread-safe.
const Kernels& fastest_kernels();

}  // namespace tails::fastpath
