#include "iptc/guard.h"

#include <algorithm>
#include <optional>

namespace tails::iptc {
namespace {

/// "a and b" in one test, where one of them is enough to say it.
std::optional<ruleset::AddressTest> both(const ruleset::AddressTest& a, const ruleset::AddressTest& b) {
  if (a.is_any() || a == b) return b;
  if (b.is_any()) return a;
  if (a.inverted || b.inverted) return std::nullopt;
  const IpAddress common_mask = a.mask & b.mask;
  // One network inside the other: the narrower one says both.
  if ((a.address & common_mask) != (b.address & common_mask)) return std::nullopt;
  if (common_mask == a.mask) return b;
  if (common_mask == b.mask) return a;
  return std::nullopt;
}

std::optional<ruleset::InterfaceTest> both(const ruleset::InterfaceTest& a, const ruleset::InterfaceTest& b) {
  if (a.is_any() || a == b) return b;
  if (b.is_any()) return a;
  return std::nullopt;
}

std::optional<ruleset::HeaderTest> both(const ruleset::HeaderTest& a, const ruleset::HeaderTest& b) {
  using Fragment = ruleset::HeaderTest::Fragment;
  const auto source = both(a.source, b.source);
  const auto destination = both(a.destination, b.destination);
  const auto in = both(a.in, b.in);
  const auto out = both(a.out, b.out);
  if (!source || !destination || !in || !out) return std::nullopt;
  ruleset::HeaderTest test{*source, *destination, *in, *out, a.protocol, a.protocol_inverted, a.fragment};
  if (a.protocol == 0) {
    test.protocol = b.protocol;
    test.protocol_inverted = b.protocol_inverted;
  } else if (b.protocol != 0 && (a.protocol != b.protocol || a.protocol_inverted != b.protocol_inverted)) {
    return std::nullopt;
  }
  if (a.fragment == Fragment::kAny) {
    test.fragment = b.fragment;
  } else if (b.fragment != Fragment::kAny && a.fragment != b.fragment) {
    return std::nullopt;
  }
  return test;
}

std::optional<ruleset::Rule> both(const Conjunction& a, const Conjunction& b) {
  const auto header = both(a.header, b.header);
  if (!header) return std::nullopt;
  ruleset::Rule rule;
  rule.header = *header;
  rule.matches = a.matches;
  for (const ruleset::Match& match : b.matches) {
    if (std::ranges::find(a.matches, match) == a.matches.end()) rule.matches.push_back(match);
  }
  rule.matches.emplace_back(ruleset::StateMatch{ConnState::kEstablished, false});
  rule.target = ruleset::Accept{};
  return rule;
}

}  // namespace

ruleset::Table guard(Family family, const TableFacts* old_filter, const TableFacts* new_filter) {
  ruleset::Table table = ruleset::Table::open(family, ruleset::TableName::kFilter);
  for (ruleset::Chain& chain : table.chains) {
    chain.policy = ruleset::ChainPolicy::kDrop;
    if (old_filter == nullptr || new_filter == nullptr) continue;
    const auto before = old_filter->front.find(chain.name);
    const auto after = new_filter->front.find(chain.name);
    if (before == old_filter->front.end() || after == new_filter->front.end()) continue;
    for (const Conjunction& a : before->second) {
      for (const Conjunction& b : after->second) {
        auto rule = both(a, b);
        const bool is_new = rule && std::ranges::none_of(chain.rules, [&](const ruleset::Rule& other) {
                              return other.says_the_same(*rule);
                            });
        if (is_new) chain.rules.push_back(*std::move(rule));
      }
    }
  }
  return table;
}

}  // namespace tails::iptc
