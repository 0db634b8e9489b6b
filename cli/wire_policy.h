#pragma once

#include <string_view>

#include "cli/command.h"
#include "fastpath/wire_view.h"
#include "net/result.h"
#include "policy/policy.h"
#include "ruleset/rule_set.h"

namespace tails::cli {

/// The policy in charge, as a filter on the wire needs it.
struct WirePolicy {
  policy::Policy policy;
  ruleset::RuleSet rules;
  fastpath::WireView view;
};

/// Loads, lowers and proves it. `owner`: "dscp", "vlan", "none"; "any" is as "dscp". Fails as `check` does, and where
/// there are more owners than tags.
Result<WirePolicy> load_wire_policy(const GlobalOptions& global, std::string_view owner);

}  // namespace tails::cli
