#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/kernel_offer.h"
#include "cli/rule_counts.h"
#include "host/finding.h"
#include "ruleset/rule_set.h"

namespace tails::cli {

/// Where the live rules stand against the policy.
struct StatusReport {
  enum class State : uint8_t {
    kInForce,     ///< The live rules are the policy's.
    kDrift,       ///< Some table is not.
    kLockedDown,  ///< `lockdown` is in force.
    kOpen,        ///< No filter: every chain empty and ACCEPT.
    kHalfWay,     ///< A transaction was killed: what stands lets through only what old and new rules share.
  };
  struct Table {
    Family family = Family::kIpv4;
    ruleset::TableName table = ruleset::TableName::kFilter;
    bool as_wanted = true;
  };
  /// What one entry of the policy has let through or stopped.
  struct Entry {
    ruleset::Origin origin;
    std::string verdict;  ///< "ACCEPT", "REJECT", … of the rules counted.
    ruleset::Counters counters;
  };

  State state = State::kDrift;
  std::string policy;                   ///< Its name.
  std::vector<Table> tables;            ///< The policy's tables.
  std::vector<Entry> entries;           ///< Empty unless in force; in the policy's order.
  std::vector<RuleCount> other_tables;  ///< Tables that are not the policy's and have rules.
  KernelOffer kernel;                   ///< Filled in by who asked the kernel.
  host::Findings findings{};            ///< Filled in by who looked at the machine.
};

/// Compares the rules that a policy wants with those of the kernel, and adds up counters. Only rules that end a
/// packet's way count (ACCEPT, DROP, REJECT, the NAT targets, and a jump to a chain that stops whatever comes, in place
/// of the rules in there): a packet is in at most one of them in each table. Pure.
StatusReport status_of(const std::string& policy, const ruleset::RuleSet& wanted, const iptc::Live& live,
                       const ruleset::RuleSet& lockdown);

}  // namespace tails::cli
