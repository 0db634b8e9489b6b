#include "fastpath/wire_rules.h"

namespace tails::fastpath {

const ruleset::Origin* WireRules::origin(VerdictId verdict) const {
  const ruleset::OriginIndex index = verdicts[verdict].origin;
  return index < origins.size() ? &origins[index] : nullptr;
}

Result<WireRules> compile(const ruleset::RuleSet& rules, const WireView& view) {
  WireRules result;
  result.view = view;
  result.origins = rules.origins;
  for (const OwnerTag& tag : view.owners) result.known_tags |= uint64_t{1} << tag.tag;

  static const ruleset::Table kOpen = ruleset::Table::open(Family::kIpv4, ruleset::TableName::kFilter);
  const ruleset::Table* filter = rules.find(Family::kIpv4, ruleset::TableName::kFilter);
  auto kinds = Kinds::of(filter == nullptr ? kOpen : *filter);
  if (!kinds) return tl::unexpected(kinds.error());
  result.kinds = *std::move(kinds);
  for (const Side from : {Side::kInside, Side::kOutside}) {
    auto lists = fold(rules, view, result.kinds, from, result.verdicts);
    if (!lists) return tl::unexpected(lists.error());
    result.ways[static_cast<size_t>(from)] = make_way(*lists, static_cast<unsigned>(result.kinds.examples().size()));
  }
  return result;
}

}  // namespace tails::fastpath
