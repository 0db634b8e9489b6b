#pragma once

#include "iptc/facts.h"
#include "ruleset/rule_set.h"

namespace tails::iptc {

/// The filter table that stands while other tables change: it lets through what is ESTABLISHED and surely accepted by
/// both the old and the new filter, and drops the rest in silence. Without `old_filter` and `new_filter`, all. Pure.
ruleset::Table guard(Family family, const TableFacts* old_filter, const TableFacts* new_filter);

}  // namespace tails::iptc
