#pragma once

#include <vector>

#include "net/owner_tag.h"
#include "net/result.h"
#include "policy/policy.h"
#include "ruleset/rule_set.h"

namespace tails::policy {

/// The owners that the network may have to tell apart, each with its tag: Tor, the direct users, the namespaces with
/// Internet access. Everyone else has tag 0. Ascending by tag.
///
/// A number comes from the account's number (or the namespace's name) and not from the policy's order, so that an
/// entry more or less leaves most of the others alone. Fails with kRejected when there are more than 63 owners.
Result<std::vector<OwnerTag>> owner_tags(const Policy& policy);

/// Adds the table that writes the tags into DSCP: mangle POSTROUTING, for whatever leaves by a non-loopback interface.
/// First the field is cleared, because a program can set it (IP_TOS) and so claim to be someone else. Fails as above.
///
/// Without a wire filter behind it that strips the tags, they tell the network who speaks.
Result<void> add_owner_tags(const Policy& policy, ruleset::RuleSet& rules);

}  // namespace tails::policy
