#pragma once

#include <string>

#include "ruleset/rule_set.h"

namespace tails::cli {

/// The chains of all tables as a Graphviz digraph: one cluster per table, one node per chain, one edge per jump,
/// labelled with the rule's number and tests. Pure.
std::string chain_graph(const ruleset::RuleSet& rules);

}  // namespace tails::cli
