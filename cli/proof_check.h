#pragma once

#include <functional>

#include "cli/command.h"
#include "policy/environment.h"
#include "policy/policy.h"
#include "ruleset/rule_set.h"

namespace tails::cli {

/// The question that a transaction asks before it touches anything (iptc::Options::check): do these rules have the
/// policy's leak properties? Keeps references to all arguments.
std::function<Result<void>(const ruleset::RuleSet& rules)> proof_check(const policy::Policy& policy,
                                                                       const GlobalOptions& global,
                                                                       const policy::Environment& environment);

}  // namespace tails::cli
