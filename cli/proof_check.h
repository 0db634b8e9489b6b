#pragma once

#include <functional>

#include "cli/command.h"
#include "cli/operand.h"
#include "policy/environment.h"
#include "ruleset/rule_set.h"

namespace tails::cli {

/// The question that a transaction asks before it touches anything (iptc::Options::check): do these rules have the
/// policy's leak properties? Keeps references to all arguments.
///
/// Exceptions of the session are part of the policy, so a property that is a sentence about the policy would follow
/// them wherever they go. What they must never open (the Internet, Tor's TransPort, loopback for direct users) is
/// therefore also asked of the policy without them.
std::function<Result<void>(const ruleset::RuleSet& rules)> proof_check(const Operand& wanted,
                                                                       const GlobalOptions& global,
                                                                       const policy::Environment& environment);

}  // namespace tails::cli
