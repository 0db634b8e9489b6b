#pragma once

#include <string>
#include <vector>

#include "ruleset/rule_set.h"

namespace tails::leaktest {

/// A mistake planted in the rules of the profile `tails`.
struct Fault {
  enum class Kind : uint8_t { kRemoved, kWidened, kNarrowed };
  std::string name;  ///< "anybody reaches the control port".
  Kind kind = Kind::kWidened;
  ruleset::RuleSet rules;
};

/// The planted faults, each a change of one line of the rules as iptables-save writes them. Aborts where a line that is
/// to be changed is not there: then the profile has moved on and the fault must follow.
std::vector<Fault> planted_faults(const ruleset::RuleSet& rules);

}  // namespace tails::leaktest
