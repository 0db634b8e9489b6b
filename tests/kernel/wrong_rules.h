#pragma once

#include <string>
#include <vector>

#include "ruleset/rule_set.h"

namespace tails::testbed {

/// A rule set that is wrong in one place.
struct WrongRule {
  Family family = Family::kIpv4;
  std::string chain;
  std::string change;  ///< "port moved: -A OUTPUT …", with the rule as it was.
  ruleset::RuleSet rules;
};

/// Every way to get one rule a little wrong: another verdict, an owner or a port beside the right one, a test left out
/// or turned round. Chains and the number of rules stay as they are.
std::vector<WrongRule> wrong_rules_of(const ruleset::RuleSet& rules);

}  // namespace tails::testbed
