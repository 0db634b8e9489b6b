#pragma once

#include <span>
#include <string>
#include <string_view>

#include "iptc/transaction.h"
#include "ruleset/rule_set.h"

namespace tails::cli {

/// "IPv4", "IPv6".
std::string_view family_text(Family family);

/// One table and how many rules it has.
struct RuleCount {
  Family family = Family::kIpv4;
  ruleset::TableName table = ruleset::TableName::kFilter;
  size_t rules = 0;
};

std::vector<RuleCount> rule_counts(const ruleset::RuleSet& rules);
std::vector<RuleCount> rule_counts(const iptc::Outcome& outcome);

/// "63 rules in filter and nat (IPv4), 14 in filter (IPv6)"; IPv4 first.
std::string counts_in_words(std::span<const RuleCount> counts);

}  // namespace tails::cli
