#pragma once

#include "net/result.h"
#include "ruleset/rule_set.h"

namespace tails::iptc {

/// Whether a kernel can take these rules at all, as far as it depends on the rules alone. The kernel would refuse
/// them too, but late (after other tables were replaced) and in one word; libiptc would even take some of them for
/// something else. Pure.
///
/// Error (kRefused), with the rule's place and origin:
/// - a chain name that is empty, over 28 bytes, of unprintable bytes or white space, twice there, or a target's name;
/// - a jump to a chain that is not there or built in, or a chain that leads back to itself;
/// - a match or target where the kernel does not let it stand: owner outside OUTPUT and POSTROUTING, REJECT outside
///   filter, NAT outside nat, ports without their protocol, numbers out of range.
Result<void> check(const ruleset::RuleSet& rules, const ruleset::Table& table);
/// Every table.
Result<void> check(const ruleset::RuleSet& rules);

}  // namespace tails::iptc
