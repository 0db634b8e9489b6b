#include "cli/owner_tags.h"

#include <algorithm>
#include <variant>

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

Result<void> add_owner_tags(Operand& wanted) { return policy::add_owner_tags(*wanted.policy, wanted.rules); }

}  // namespace tails::cli
