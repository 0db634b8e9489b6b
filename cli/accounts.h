#pragma once

#include <string_view>
#include <vector>

#include "cli/command.h"
#include "cli/rule_words.h"
#include "policy/environment.h"
#include "policy/policy.h"

namespace tails::cli {

/// The account that a person means by a name or a number: --user-map first, then `known`, then the system's. kUsage,
/// with the nearest name, when there is none.
Result<Uid> find_account(std::string_view name_or_number, const GlobalOptions& global,
                         const std::vector<policy::User>& known, const policy::Environment& environment);

/// Names to show for numbers, from the same three places. Keeps the names, not the arguments.
UserNames user_names(const GlobalOptions& global, const std::vector<policy::User>& known,
                     const policy::Environment& environment);

}  // namespace tails::cli
