#pragma once

#include "iptc/kernel/kernel.h"
#include "net/result.h"
#include "ruleset/rule_set.h"

/// Blocking all traffic when nothing else is left to do.
namespace tails::iptc {

/// Filter of both families: every chain DROP, no rules. It needs no match and no target of the kernel.
ruleset::RuleSet bare_lockdown_rules();
kernel::RawTable bare_lockdown(Family family);

/// Puts the filter tables of `rules` in force, one after the other; where `rules` lacks one or the kernel does not take
/// it, bare DROP policies. Whatever is live is replaced. The caller holds the lock where it could be had.
/// Error (kRefused): a family's filter could not be closed; the others were tried all the same.
Result<void> close_all(kernel::Kernel& kernel, const ruleset::RuleSet& rules);

}  // namespace tails::iptc
