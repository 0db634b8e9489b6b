#pragma once

#include "cli/operand.h"
#include "iptc/transaction.h"
#include "ruleset/rule_set.h"

/// `apply --tag-owners dscp`: the rules that tell a wire filter whose each frame is.
namespace tails::cli {

/// Whether these rules write owner tags: IPv4 mangle POSTROUTING sets DSCP.
bool writes_owner_tags(const ruleset::RuleSet& live);

/// Adds the tags of `wanted`'s policy to its rules. kRejected where there are more owners than tags.
Result<void> add_owner_tags(Operand& wanted);

/// Adds them where the live rules have them: a wire filter behind this machine goes on needing the tags that it was
/// told to write. Error: that cannot be told, or they cannot be added.
Result<void> keep_owner_tags(const iptc::System& system, Operand& wanted);

/// The rules of an operand with a policy once more, for when they were moved into a transaction: rules of a hundred
/// thousand services are not kept twice for what is seldom needed.
ruleset::RuleSet rules_again(const Operand& wanted);

/// What `apply`, `reconfigure` and `status` say where tags are in force.
inline constexpr std::string_view kTagWarning =
    "Owner tags are in force: without a wire filter behind this machine they tell the network who speaks.";

}  // namespace tails::cli
