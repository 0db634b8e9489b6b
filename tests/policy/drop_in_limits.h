#pragma once

#include <optional>
#include <string>

#include "net/packet.h"
#include "policy/policy.h"

/// What drop-ins may not do to a policy (docs/policy.md, "Drop-ins"): library tails_policy_generators.
namespace tails::testing {

/// Where a setting of the policy file, and not a service or a namespace, is another one in `merged`: its name. Nullopt:
/// everything that a drop-in may not change is as it was in `base`.
std::optional<std::string> changed_setting(const policy::Policy& base, const policy::Policy& merged);

/// Where `merged` lets through, or sends elsewhere, what no drop-in may: a text with the packet. What it may: services
/// by loopback, for whom the policy file does not deny them, and the traffic of a namespace that it adds.
std::optional<std::string> widening(const policy::Policy& base, const policy::Policy& merged, const Packet& packet);

}  // namespace tails::testing
