#pragma once

#include <cstddef>
#include <cstdint>

#include "policy/policy.h"
#include "ruleset/rule_set.h"

namespace tails::policy {

/// How services are laid out. Both mean the same.
enum class Layout : uint8_t {
  kBySize,    ///< kPlain up to kPlainLimit rules, else kDispatch.
  kPlain,     ///< One rule after the other, as people write them and upstream's acceptance checks expect.
  kDispatch,  ///< A tree of chains by protocol, user, address and port: a packet passes few of very many rules.
};
inline constexpr size_t kPlainLimit = 200;

/// The host's rules of a policy: filter of both families and nat of IPv4, every rule with its origin.
/// For every packet Evaluator(lower(p)) gives the verdict, redirect and log of decide(p). Pure.
ruleset::RuleSet lower(const Policy& policy, Layout layout = Layout::kBySize);

/// The rules inside a namespace: 127.0.0.1:PORT is the host's service, spoofed sources are rejected, what leaves is
/// masqueraded, nothing comes in but answers; without `internet` nothing but the services can be reached.
/// Assumes that the guest's end of the veth pair is kGuestInterface with the guest's address. Pure.
ruleset::RuleSet lower_guest(const Namespace& space);

/// The host's rules and those of every namespace.
ruleset::Machine lower_machine(const Policy& policy);

/// Every filter chain DROP in both families, ESTABLISHED on loopback only; nat empty. Needs no policy.
ruleset::RuleSet lockdown();

}  // namespace tails::policy
