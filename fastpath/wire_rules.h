#pragma once

#include <array>
#include <vector>

#include "fastpath/way.h"

namespace tails::fastpath {

/// A rule set as the wire filter uses it. A plain value, made once, read by every lcore.
struct WireRules {
  WireView view;
  Kinds kinds;
  VerdictTable verdicts;
  std::vector<ruleset::Origin> origins;  ///< What WireVerdict::origin names.
  std::array<Way, 2> ways;               ///< By Side: where the packet comes from.
  uint64_t known_tags = 1;               ///< Bit per owner tag that means something.

  [[nodiscard]] const Way& way(Side from) const { return ways[static_cast<size_t>(from)]; }
  /// Nullptr where there is none.
  [[nodiscard]] const ruleset::Origin* origin(VerdictId verdict) const;
};

/// Compiles the IPv4 rules of `rules` for the wire. Fails with kRejected as `fold` does, and for rules that tell apart
/// more than 64 kinds of packet. Pure.
Result<WireRules> compile(const ruleset::RuleSet& rules, const WireView& view);

}  // namespace tails::fastpath
