#pragma once

#include "policy/policy.h"
#include "ruleset/rule_set.h"

namespace tails::policy {

/// The host's rules of a policy: filter of both families and nat of IPv4, every rule with its origin.
/// For every packet Evaluator(lower(p)) gives the verdict, redirect and log of decide(p). Pure.
ruleset::RuleSet lower(const Policy& policy);

/// The rules inside a namespace: 127.0.0.1:PORT is the host's service, spoofed sources are rejected, what leaves is
/// masqueraded, nothing comes in but answers; without `internet` nothing but the services can be reached.
/// Assumes that the guest's end of the veth pair is kGuestInterface with the guest's address. Pure.
ruleset::RuleSet lower_guest(const Namespace& space);

/// The host's rules and those of every namespace.
ruleset::Machine lower_machine(const Policy& policy);

/// Every filter chain DROP in both families, ESTABLISHED on loopback only; nat empty. Needs no policy.
ruleset::RuleSet lockdown();

}  // namespace tails::policy
