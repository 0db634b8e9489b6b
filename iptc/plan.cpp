#include "iptc/plan.h"

#include <array>

#include "iptc/facts.h"
#include "iptc/guard.h"

namespace tails::iptc {
namespace {

enum class FilterWhen { kNever, kFirst, kLast, kGuarded };

struct FamilyPlan {
  std::optional<size_t> filter;
  std::vector<size_t> others;
  FilterWhen when = FilterWhen::kNever;
  std::optional<ruleset::Table> guard;
};

FamilyPlan plan_family(const std::vector<TableChange>& changes, Family family) {
  FamilyPlan plan;
  for (size_t i = 0; i < changes.size(); ++i) {
    if (changes[i].family != family) continue;
    if (changes[i].name == ruleset::TableName::kFilter) {
      plan.filter = i;
    } else if (changes[i].differs) {
      plan.others.push_back(i);
    }
  }
  if (!plan.filter) return plan;
  const TableChange& filter = changes[*plan.filter];
  if (plan.others.empty()) {
    if (filter.differs) plan.when = FilterWhen::kFirst;
    return plan;
  }
  if (!filter.differs && plan.others.size() == 1) return plan;

  bool old_others_may_stop = false;
  bool new_others_may_stop = false;
  for (const size_t other : plan.others) {
    old_others_may_stop = old_others_may_stop || facts_of(changes[other].live).may_stop;
    new_others_may_stop = new_others_may_stop || facts_of(changes[other].wanted).may_stop;
  }
  const bool others_may_stop = old_others_may_stop || new_others_may_stop;
  const TableFacts before = facts_of(filter.live);
  const TableFacts after = facts_of(filter.wanted);
  if (before.accepts_all && !old_others_may_stop) {
    plan.when = FilterWhen::kFirst;
  } else if (after.accepts_all && !new_others_may_stop) {
    plan.when = FilterWhen::kLast;
  } else if (after.accepts_established_only && !others_may_stop) {
    plan.when = FilterWhen::kFirst;
  } else if (before.accepts_established_only && !others_may_stop) {
    plan.when = FilterWhen::kLast;
  } else {
    plan.when = FilterWhen::kGuarded;
    plan.guard = others_may_stop ? guard(family, nullptr, nullptr) : guard(family, &before, &after);
  }
  // An equal filter need not be written, but where a guard stood it must come back.
  if (!filter.differs && plan.when != FilterWhen::kGuarded) plan.when = FilterWhen::kNever;
  return plan;
}

}  // namespace

Plan make_plan(const std::vector<TableChange>& changes) {
  std::array families = {plan_family(changes, Family::kIpv6), plan_family(changes, Family::kIpv4)};
  Plan plan;
  for (const FamilyPlan& family : families) {
    if (family.when == FilterWhen::kFirst) plan.steps.push_back({*family.filter, false});
    if (family.when == FilterWhen::kGuarded) plan.steps.push_back({*family.filter, true});
  }
  for (const FamilyPlan& family : families) {
    for (const size_t other : family.others) plan.steps.push_back({other, false});
  }
  for (const FamilyPlan& family : families) {
    if (family.when == FilterWhen::kLast || family.when == FilterWhen::kGuarded) {
      plan.steps.push_back({*family.filter, false});
    }
  }
  plan.guard_v6 = std::move(families[0].guard);
  plan.guard_v4 = std::move(families[1].guard);
  return plan;
}

}  // namespace tails::iptc
