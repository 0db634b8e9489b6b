#include "cli/status_report.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace tails::cli {
namespace {

using ruleset::RuleSet;
using ruleset::Table;

bool is_open(const Table& table) {
  return std::ranges::all_of(table.chains, [](const ruleset::Chain& chain) {
    return chain.rules.empty() && chain.policy != ruleset::ChainPolicy::kDrop;
  });
}

/// A table that is absent is as an open one.
bool same(const Table* a, const Table* b) {
  if (a == nullptr) return b == nullptr || is_open(*b);
  if (b == nullptr) return is_open(*a);
  return a->says_the_same(*b);
}

/// The tables that are ours whole, and whatever else `wanted` has.
std::vector<std::pair<Family, ruleset::TableName>> our_tables(const RuleSet& wanted) {
  std::vector<std::pair<Family, ruleset::TableName>> ours{{Family::kIpv4, ruleset::TableName::kFilter},
                                                          {Family::kIpv4, ruleset::TableName::kNat},
                                                          {Family::kIpv6, ruleset::TableName::kFilter}};
  for (const Table& table : wanted.tables) {
    const std::pair key(table.family, table.name);
    if (std::ranges::find(ours, key) == ours.end()) ours.push_back(key);
  }
  return ours;
}

bool is_same_everywhere(const RuleSet& wanted, const RuleSet& live) {
  return std::ranges::all_of(our_tables(wanted), [&](const auto& key) {
    return same(wanted.find(key.first, key.second), live.find(key.first, key.second));
  });
}

bool drops_all(const Table& table) {
  return std::ranges::all_of(table.chains, [](const ruleset::Chain& chain) {
    return !chain.is_builtin() || (chain.rules.empty() && chain.policy == ruleset::ChainPolicy::kDrop);
  });
}

/// Every filter is the lockdown's, or bare: what a transaction that blocks half-way leaves. The other tables let
/// nothing through.
bool is_locked_down(const RuleSet& lockdown, const RuleSet& live) {
  return std::ranges::all_of(lockdown.tables, [&](const Table& table) {
    if (table.name != ruleset::TableName::kFilter) return true;
    const Table* const found = live.find(table.family, table.name);
    return found != nullptr && (found->says_the_same(table) || drops_all(*found));
  });
}

bool ends_the_way(const ruleset::Target& target) {
  return std::holds_alternative<ruleset::Accept>(target) || std::holds_alternative<ruleset::Drop>(target) ||
         std::holds_alternative<ruleset::Reject>(target) || std::holds_alternative<ruleset::Redirect>(target) ||
         std::holds_alternative<ruleset::Masquerade>(target) || std::holds_alternative<ruleset::Dnat>(target);
}

/// The target by which a chain stops whatever comes, maybe after logging it; nullptr for any other chain.
const ruleset::Target* stops_everything(const ruleset::Chain* chain) {
  if (chain == nullptr || chain->is_builtin() || chain->rules.empty()) return nullptr;
  const ruleset::Rule& last = chain->rules.back();
  const bool is_stop =
      std::holds_alternative<ruleset::Reject>(last.target) || std::holds_alternative<ruleset::Drop>(last.target);
  const bool is_for_all = last.matches.empty() && last.header == ruleset::HeaderTest{};
  const bool only_logs = std::all_of(chain->rules.begin(), chain->rules.end() - 1, [](const ruleset::Rule& rule) {
    return std::holds_alternative<ruleset::Log>(rule.target) || std::holds_alternative<ruleset::Nflog>(rule.target);
  });
  return is_stop && is_for_all && only_logs ? &last.target : nullptr;
}

/// The verdict that a packet has for certain once it meets this rule; nullptr where it goes on.
const ruleset::Target* verdict_of(const Table& table, const ruleset::Rule& rule) {
  if (ends_the_way(rule.target)) return &rule.target;
  const auto* jump = std::get_if<ruleset::Jump>(&rule.target);
  return jump == nullptr ? nullptr : stops_everything(table.find(jump->chain));
}

/// Sums per origin. Both rule sets have the same rules, so a rule's place tells whose counter it is.
std::vector<StatusReport::Entry> entries_of(const RuleSet& wanted, const RuleSet& live) {
  // By what the origin says and not by its index: the same entry may have been noted down twice.
  std::map<std::tuple<SharedText, uint32_t, SharedText, std::string>, ruleset::Counters> sums;
  const auto add = [&](ruleset::OriginIndex index, std::string verdict, const ruleset::Counters& counters) {
    const ruleset::Origin* origin = wanted.origin(index);
    const ruleset::Origin known = origin == nullptr ? ruleset::Origin{} : *origin;
    ruleset::Counters& sum = sums[{known.file, known.line, known.entry, std::move(verdict)}];
    sum.packets += counters.packets;
    sum.bytes += counters.bytes;
  };
  for (const Table& table : wanted.tables) {
    const Table* counted = live.find(table.family, table.name);
    if (counted == nullptr) continue;
    for (size_t i = 0; i < table.chains.size(); ++i) {
      const ruleset::Chain& chain = table.chains[i];
      const bool counted_by_who_jumps = stops_everything(&chain) != nullptr;
      for (size_t j = 0; j < chain.rules.size() && !counted_by_who_jumps; ++j) {
        const ruleset::Rule& rule = chain.rules[j];
        const ruleset::Target* verdict = verdict_of(table, rule);
        if (verdict == nullptr) continue;
        add(rule.origin, std::string(target_name(*verdict)), counted->chains[i].rules[j].counters);
      }
      if (chain.policy == ruleset::ChainPolicy::kDrop) add(chain.origin, "DROP", counted->chains[i].counters);
    }
  }
  std::vector<StatusReport::Entry> entries;
  for (const auto& [key, counters] : sums) {
    const auto& [file, line, entry, verdict] = key;
    entries.push_back({{file, line, entry}, verdict, counters});
  }
  return entries;
}

}  // namespace

StatusReport status_of(const std::string& policy, const RuleSet& wanted, const iptc::Live& reading,
                       const RuleSet& lockdown) {
  const RuleSet& live = reading.rules;
  StatusReport report;
  report.policy = policy;
  const auto ours = our_tables(wanted);
  bool is_all_open = true;
  for (const auto& [family, name] : ours) {
    const Table* table = live.find(family, name);
    report.tables.push_back({family, name, same(wanted.find(family, name), table)});
    is_all_open = is_all_open && (table == nullptr || is_open(*table));
  }
  for (const Table& table : live.tables) {
    const bool is_ours = std::ranges::find(ours, std::pair(table.family, table.name)) != ours.end();
    if (!is_ours && !is_open(table)) report.other_tables.push_back({table.family, table.name, table.rule_count()});
  }
  using State = StatusReport::State;
  if (is_same_everywhere(wanted, live)) {
    report.state = State::kInForce;
    report.entries = entries_of(wanted, live);
  } else if (reading.has_guard) {
    report.state = State::kHalfWay;
  } else if (is_locked_down(lockdown, live)) {
    report.state = State::kLockedDown;
  } else {
    report.state = is_all_open ? State::kOpen : State::kDrift;
  }
  return report;
}

}  // namespace tails::cli
