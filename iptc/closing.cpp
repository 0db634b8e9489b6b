#include "iptc/closing.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <vector>

#include "iptc/check.h"
#include "iptc/encode.h"
#include "iptc/kernel/words.h"

namespace tails::iptc {
namespace {

/// A program that ignores the lock may come in between each time; it will not do so for ever.
constexpr int kAttempts = 32;

/// What to try, best first.
std::vector<kernel::RawTable> candidates(kernel::Kernel& kernel, const ruleset::RuleSet& rules, Family family) {
  std::vector<kernel::RawTable> tables;
  const ruleset::Table* const wanted = rules.find(family, ruleset::TableName::kFilter);
  Features features;
  if (wanted != nullptr && check(rules, *wanted) && probe(kernel, *wanted, features)) {
    if (auto encoded = encode(rules, *wanted, features)) tables.push_back(*std::move(encoded));
  }
  tables.push_back(bare_lockdown(family));
  return tables;
}

Result<void> force(kernel::Kernel& kernel, const kernel::RawTable& wanted) {
  std::optional<Error> last;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto before = kernel.read(wanted.family, wanted.name);
    if (!before) return tl::unexpected(before.error());
    if (kernel::same_rules(*before, wanted)) return {};
    const auto replaced = kernel.replace(wanted, *before);
    const auto after = kernel.read(wanted.family, wanted.name);
    if (after && kernel::same_rules(*after, wanted)) return {};
    if (!replaced) last = replaced.error();
    // Where another program has been there meanwhile, the error may come of that.
    const bool is_untouched = !after || kernel::same_rules(*after, *before);
    if (!replaced && replaced.error().system_errno != EAGAIN && is_untouched) break;
  }
  if (last) return tl::unexpected(*std::move(last));
  return tl::unexpected(kernel::contention_error());
}

Result<void> close_family(kernel::Kernel& kernel, const ruleset::RuleSet& rules, Family family) {
  Result<void> result;
  for (const kernel::RawTable& table : candidates(kernel, rules, family)) {
    result = force(kernel, table);
    if (result) return result;
  }
  return result;
}

}  // namespace

ruleset::RuleSet bare_lockdown_rules() {
  ruleset::RuleSet rules;
  for (const Family family : {Family::kIpv6, Family::kIpv4}) {
    rules.tables.push_back(ruleset::Table::open(family, ruleset::TableName::kFilter));
    for (ruleset::Chain& chain : rules.tables.back().chains) chain.policy = ruleset::ChainPolicy::kDrop;
  }
  return rules;
}

kernel::RawTable bare_lockdown(Family family) {
  kernel::RawTable table{family, "filter", {}, {}};
  for (const char* const chain : {"INPUT", "FORWARD", "OUTPUT"}) {
    table.chains.push_back({chain, kernel::Policy::kDrop, 0, 0, 0, 0});
  }
  return table;
}

Result<void> close_all(kernel::Kernel& kernel, const ruleset::RuleSet& rules) {
  const auto ipv6 = kernel.has_ipv6();
  Result<void> v6;
  if (!ipv6 || *ipv6) v6 = close_family(kernel, rules, Family::kIpv6);
  Result<void> v4 = close_family(kernel, rules, Family::kIpv4);
  return v4 ? v6 : v4;
}

}  // namespace tails::iptc
