#pragma once

#include <rapidcheck.h>

#include "ruleset/rule_set.h"

/// Any rule that iptables has words for, as rapidcheck generates and shrinks it. Every alternative of Match and of
/// Target comes up but the opaque ones.
namespace tails::testing {

/// Two tables of `family`, with a chain "lan" in each and a handful of rules, counters included.
rc::Gen<ruleset::RuleSet> rule_sets(Family family);

}  // namespace tails::testing
