#pragma once

#include <string>

#include "cli/screen.h"
#include "ruleset/rule_set.h"

namespace tails::cli {

/// The entry of a profile or policy file that an origin names, from its line to the next blank line or table, each line
/// as "   14 | allow = …\n"; empty where the origin names no line or its file cannot be read.
std::string policy_entry(const ruleset::Origin& origin, const Screen& screen);

}  // namespace tails::cli
