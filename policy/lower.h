#pragma once

#include "policy/policy.h"
#include "ruleset/rule_set.h"

namespace tails::policy {

/// The host's rules of a policy: filter of both families and nat of IPv4, every rule with its origin.
/// For every packet Evaluator(lower(p)) gives the verdict, redirect and log of decide(p). Pure.
ruleset::RuleSet lower(const Policy& policy);

/// Every filter chain DROP in both families, ESTABLISHED on loopback only; nat empty. Needs no policy.
ruleset::RuleSet lockdown();

}  // namespace tails::policy
