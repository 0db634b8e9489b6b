#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fastpath/outcome.h"
#include "fastpath/pipeline.h"
#include "fastpath/reassembly.h"

namespace tails::fastpath {

/// A policy entry and what it did with packets.
struct EntryName {
  std::string entry;   ///< `[tor]`; "policy" where no entry decided: the chains' own policies.
  std::string origin;  ///< "tails.toml:14"; empty where it is not known.
  Verdict verdict = Verdict::kDrop;
  friend auto operator<=>(const EntryName&, const EntryName&) = default;
};

/// "accept", "reject", "drop".
std::string_view name(Verdict verdict);

/// What a filter has done since it started. Plain value.
struct Counters {
  std::array<Count, kOutcomeCount> outcomes{};
  std::map<EntryName, Count> entries;  ///< Of all policies that were in force.
  uint64_t flows = 0;
  uint64_t flow_capacity = 0;
  uint64_t received[2] = {};  ///< Frames, by Side they came from.
  uint64_t sent[2] = {};      ///< Frames, by Side they went to.
  uint64_t not_sent = 0;      ///< Passed, but the port had no room.
  uint64_t missed = 0;        ///< The ports had no room for what came.
  uint64_t unusable = 0;      ///< Larger than a buffer: dropped unread.
  uint64_t refusals = 0;      ///< Answers sent to what was blocked.
  /// Where fragments are put together: then they are not among the outcomes, but what they make is.
  std::optional<FragmentCounts> fragments;
  uint64_t policies = 0;  ///< That were put in force, the first included.

  /// Counts of a policy's verdicts, as the pipeline has them by id, to the entries.
  void add(const WireRules& rules, const std::vector<Count>& verdicts);
};

/// The text exposition format of Prometheus (version 0.0.4), every counter with its HELP and TYPE line.
std::string prometheus_text(const Counters& counters);

}  // namespace tails::fastpath
