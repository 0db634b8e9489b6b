#pragma once

#include <vector>

#include "policy/lower.h"
#include "policy/policy.h"
#include "policy/rule_builder.h"
#include "ruleset/rule_set.h"

/// The parts of `lower`, one idea each. Every rule's origin is put into `rules`.
namespace tails::policy {

inline constexpr const char* kLanChain = "lan";
inline constexpr const char* kLogRejectChain = "log_reject";
inline constexpr const char* kServicesChain = "local";
inline constexpr const char* kServicesInChain = "local-in";

/// A filter table whose chains drop what no rule accepts; the policies have `origin`.
ruleset::Table closed_table(Family family, ruleset::OriginIndex origin);

/// filter OUTPUT of IPv4, and the chains it calls.
void lower_output(const Policy& policy, Layout layout, ruleset::RuleSet& rules, ruleset::Table& filter);

/// filter of IPv6, whole.
void lower_ipv6(const Policy& policy, Layout layout, ruleset::RuleSet& rules, ruleset::Table& filter);

/// The services of `family` as a tree of chains; the first one has the name kServicesChain.
std::vector<ruleset::Chain> services_tree(const Policy& policy, Family family, ruleset::RuleSet& rules);

/// The same for what comes in at ::1, where no user can be asked for; the first chain is kServicesInChain.
std::vector<ruleset::Chain> services_in_tree(const Policy& policy, ruleset::RuleSet& rules);

/// Appends chains to a table.
void append(ruleset::Table& table, std::vector<ruleset::Chain> chains);

/// What is done to a packet that OUTPUT blocks, for packets that pass `tests`: the log, then the answer.
void add_blocking(ChainWriter& chain, const Tests& tests, Family family, const Blocked& blocked, const Origin& origin);

/// A service's ports as rules must name them: with redirect_dns, udp/53 and dns_port of 127.0.0.1 stand for each
/// other.
std::vector<PortGrant> with_dns_alias(const Policy& policy, const Service& service);

}  // namespace tails::policy
