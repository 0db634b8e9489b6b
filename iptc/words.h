#pragma once

#include <string>
#include <string_view>

#include "iptc/kernel/kernel.h"
#include "net/result.h"
#include "ruleset/rule_set.h"

/// Words of errors about rules.
namespace tails::iptc {

/// `rule 3 of chain OUTPUT in table "filter" of IPv4 (tails.toml:14)`. `rule` is one of `chain`'s.
std::string rule_words(const ruleset::RuleSet& rules, const ruleset::Table& table, const ruleset::Chain& chain,
                       const ruleset::Rule& rule);

/// A kernel without a match or target, or (`is_too_old`) without a revision of it that says enough.
Error missing_extension(Family family, kernel::ExtensionKind kind, std::string_view name, std::string_view needed_by,
                        bool is_too_old);
/// A kernel whose conntrack match cannot be trusted with a direction.
Error direction_needs_newer(Family family, std::string_view needed_by);

}  // namespace tails::iptc
