#pragma once

#include <string>
#include <vector>

#include "ruleset/rule_set.h"

namespace tails::proof::testing {

/// A rule set with one mistake in it.
struct Mutant {
  std::string change;  ///< "owner test lost: -A OUTPUT …", with the rule as it was.
  ruleset::RuleSet rules;
};

/// The mistakes that people make with such rules, one at each place where it can be made: a rule dropped, moved,
/// widened (any address, a wider prefix, any port, any protocol), a state added or the state test lost, an interface, a
/// flag, an owner or a direction test lost, an owner or interface test turned round, a refusal that accepts or returns,
/// a redirect that goes elsewhere, a chain's policy open. The kernel takes each of them.
std::vector<Mutant> mutants_of(const ruleset::RuleSet& rules);

}  // namespace tails::proof::testing
