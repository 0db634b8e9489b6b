#include "proof/chains.h"

#include <algorithm>
#include <variant>

namespace tails::proof {
namespace {

using namespace ruleset;

/// Changes a packet and lets it go on.
bool rewrites(const Target& target) {
  return std::holds_alternative<SetMark>(target) || std::holds_alternative<SetConnmark>(target) ||
         std::holds_alternative<SetDscp>(target) || std::holds_alternative<OpaqueTarget>(target);
}

}  // namespace

Chains::Chains(const Table& table) : table_(&table), jumps_(table.chains.size()), changes_(table.chains.size()) {
  for (size_t i = 0; i < table.chains.size(); ++i) by_name_.emplace(table.chains[i].name, i);
  std::vector<std::vector<size_t>> callers(size());
  std::vector<size_t> changing;
  for (size_t c = 0; c < size(); ++c) {
    jumps_[c].reserve(table.chains[c].rules.size());
    for (const Rule& rule : table.chains[c].rules) {
      const auto* jump = std::get_if<Jump>(&rule.target);
      jumps_[c].push_back(jump == nullptr ? kNone : find(jump->chain));
      if (jumps_[c].back() != kNone) callers[jumps_[c].back()].push_back(c);
      if (rewrites(rule.target)) changes_[c] = true;
    }
    if (changes_[c]) changing.push_back(c);
  }
  while (!changing.empty()) {
    const size_t chain = changing.back();
    changing.pop_back();
    for (const size_t caller : callers[chain]) {
      if (!changes_[caller]) changing.push_back(caller);
      changes_[caller] = true;
    }
  }
}

size_t Chains::find(std::string_view name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? kNone : at->second;
}

// Tarjan's strongly connected components, with a stack of our own: a text may nest jumps as deep as it likes.
std::vector<Chains::Group> Chains::called_first(size_t from) const {
  struct Visit {
    size_t chain;
    size_t next_rule;
  };
  std::vector<Group> groups;
  std::vector<size_t> number(size(), kNone);
  std::vector<size_t> lowest(size(), kNone);
  std::vector<bool> is_open(size());
  std::vector<size_t> open;
  std::vector<Visit> visits;
  size_t count = 0;
  const auto visit = [&](size_t chain) {
    number[chain] = lowest[chain] = count++;
    is_open[chain] = true;
    open.push_back(chain);
    visits.push_back({chain, 0});
  };
  visit(from);
  while (!visits.empty()) {
    const size_t chain = visits.back().chain;
    if (visits.back().next_rule < jumps_[chain].size()) {
      const size_t callee = jumps_[chain][visits.back().next_rule++];
      if (callee == kNone) continue;
      if (number[callee] == kNone) {
        visit(callee);
      } else if (is_open[callee]) {
        lowest[chain] = std::min(lowest[chain], number[callee]);
      }
      continue;
    }
    visits.pop_back();
    if (!visits.empty()) {
      size_t& caller = lowest[visits.back().chain];
      caller = std::min(caller, lowest[chain]);
    }
    if (lowest[chain] != number[chain]) continue;
    Group group;
    size_t member = kNone;
    do {
      member = open.back();
      open.pop_back();
      is_open[member] = false;
      group.chains.push_back(member);
    } while (member != chain);
    group.is_circle = group.chains.size() > 1 || std::ranges::find(jumps_[chain], chain) != jumps_[chain].end();
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace tails::proof
