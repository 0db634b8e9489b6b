#pragma once

#include <optional>
#include <vector>

#include "policy/lower.h"
#include "policy/policy.h"
#include "policy/rule_builder.h"
#include "ruleset/rule_set.h"

/// The parts of `lower`, one idea each. Every rule's origin is put into `rules`.
namespace tails::policy {

inline constexpr const char* kLanChain = "lan";
inline constexpr const char* kLogRejectChain = "log_reject";

/// A filter table whose chains drop what no rule accepts; the policies have `origin`.
ruleset::Table closed_table(Family family, ruleset::OriginIndex origin);

/// filter OUTPUT of IPv4, and the chains it calls.
void lower_output(const Policy& policy, Layout layout, ruleset::RuleSet& rules, ruleset::Table& filter);

/// filter of IPv6, whole.
void lower_ipv6(const Policy& policy, Layout layout, ruleset::RuleSet& rules, ruleset::Table& filter);

/// The services of `family` in the dispatch layout: adds the rules that ask the trees, for packets that pass `self`, to
/// OUTPUT (or INPUT, where no user can be asked for), and returns the trees' chains. Other packets are let through to
/// the next rule.
std::vector<ruleset::Chain> add_services_out(const Policy& policy, Family family, const Tests& self,
                                             ruleset::RuleSet& rules, ChainWriter& output);
std::vector<ruleset::Chain> add_services_in(const Policy& policy, Family family, const Tests& self,
                                            ruleset::RuleSet& rules, ChainWriter& input);

/// Appends chains to a table.
void append(ruleset::Table& table, std::vector<ruleset::Chain> chains);

/// What is done to a packet that OUTPUT blocks, for packets that pass `tests`: the log, then the answer.
void add_blocking(ChainWriter& chain, const Tests& tests, Family family, const Blocked& blocked, const Origin& origin);

/// With redirect_dns, udp/53 and dns_port of 127.0.0.1 stand for each other: the one that a service covers without the
/// other is missing. Returns the other.
std::optional<PortGrant> dns_alias(const Policy& policy, const Service& service);
/// A service's ports as rules must name them: its own and the alias.
std::vector<PortGrant> with_dns_alias(const Policy& policy, const Service& service);

}  // namespace tails::policy
