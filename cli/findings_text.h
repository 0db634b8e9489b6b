#pragma once

#include <string>

#include "cli/rule_words.h"
#include "cli/screen.h"
#include "net/packet.h"
#include "net/result.h"
#include "policy/policy.h"
#include "proof/prove.h"
#include "ruleset/rule_set.h"

/// What the proof found, in words for people.
namespace tails::cli {

/// "user amnesia (1000)", "user 42", "no socket".
std::string owner_text(const Packet& packet, const UserNames& names);

/// A property that does not hold: its name, the fact, the packet, the rule and where that comes from; several lines.
std::string finding_text(const proof::Finding& finding, const ruleset::RuleSet& rules, const UserNames& names,
                         const Screen& screen, std::string_view operand);

/// The first property that does not hold, as what `check` and `apply` refuse with; no error where all hold.
Result<void> refusal(const proof::Proof& proof, const ruleset::RuleSet& rules, const UserNames& names);

}  // namespace tails::cli
