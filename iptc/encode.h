#pragma once

#include "iptc/features.h"
#include "iptc/kernel/raw_table.h"
#include "net/result.h"
#include "ruleset/rule_set.h"

namespace tails::iptc {

/// The bytes of `table`, a table of `rules`, for a kernel with these features: of every extension the best
/// revision that is there (see Forms). User chains are sorted by name, as libiptc puts them. Pure.
/// Call `check` (check.h) first: this looks at single rules only.
/// Error (kRefused): a match or target that the kernel lacks (module, option and command are named), or one that no
/// kernel can hold (an opaque one that was read from text, a text that is too long, an entry over 65535 bytes).
Result<kernel::RawTable> encode(const ruleset::RuleSet& rules, const ruleset::Table& table, const Features& features,
                                kernel::Abi abi = kernel::kNativeAbi);

}  // namespace tails::iptc
