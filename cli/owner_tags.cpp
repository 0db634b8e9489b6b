#include "cli/owner_tags.h"

#include <algorithm>
#include <cassert>
#include <variant>

#include "policy/lower.h"
#include "policy/lower_owner_tags.h"

namespace tails::cli {

bool writes_owner_tags(const ruleset::RuleSet& live) {
  const ruleset::Table* mangle = live.find(Family::kIpv4, ruleset::TableName::kMangle);
  const ruleset::Chain* chain = mangle == nullptr ? nullptr : mangle->find("POSTROUTING");
  return chain != nullptr && std::ranges::any_of(chain->rules, [](const ruleset::Rule& rule) {
           return std::holds_alternative<ruleset::SetDscp>(rule.target);
         });
}

Result<void> keep_owner_tags(const iptc::System& system, Operand& wanted) {
  const Result<iptc::Live> live = iptc::read_live(system);
  if (!live) return tl::unexpected(live.error());
  return writes_owner_tags(live->rules) ? add_owner_tags(wanted) : Result<void>{};
}

Result<void> add_owner_tags(Operand& wanted) {
  auto added = policy::add_owner_tags(*wanted.policy, wanted.rules);
  wanted.has_owner_tags = added.has_value();
  return added;
}

ruleset::RuleSet rules_again(const Operand& wanted) {
  ruleset::RuleSet rules = policy::lower(*wanted.policy);
  if (wanted.has_owner_tags) {
    [[maybe_unused]] const auto added = policy::add_owner_tags(*wanted.policy, rules);
    assert(added && "the same tags were added before, to the same rules");
  }
  return rules;
}

}  // namespace tails::cli
