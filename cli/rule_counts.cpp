#include "cli/rule_counts.h"

#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace tails::cli {

std::string_view family_text(Family family) { return family == Family::kIpv4 ? "IPv4" : "IPv6"; }

std::vector<RuleCount> rule_counts(const ruleset::RuleSet& rules) {
  std::vector<RuleCount> counts;
  for (const ruleset::Table& table : rules.tables) counts.push_back({table.family, table.name, table.rule_count()});
  return counts;
}

std::vector<RuleCount> rule_counts(const iptc::Outcome& outcome) {
  std::vector<RuleCount> counts;
  for (const iptc::Outcome::TableResult& table : outcome.tables) {
    counts.push_back({table.family, table.table, table.rules});
  }
  return counts;
}

std::string counts_in_words(std::span<const RuleCount> counts) {
  std::string words;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    size_t rules = 0;
    std::vector<std::string_view> tables;
    for (const RuleCount& count : counts) {
      if (count.family != family) continue;
      rules += count.rules;
      tables.push_back(to_string(count.table));
    }
    if (tables.empty()) continue;
    const std::string_view unit = !words.empty() ? "" : rules == 1 ? " rule" : " rules";
    words += fmt::format("{}{}{} in {} ({})", words.empty() ? "" : ", ", rules, unit, fmt::join(tables, " and "),
                         family_text(family));
  }
  return words.empty() ? "no tables" : words;
}

}  // namespace tails::cli
