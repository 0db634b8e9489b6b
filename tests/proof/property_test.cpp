// What holds of every two rule sets and of every policy, for all packets. RC_PARAMS as in
// tests/ruleset/property_test.cpp.
#include <gtest/gtest.h>
// Behind gtest.h, which it needs.
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <tuple>

#include "policy/lower.h"
#include "proof/difference.h"
#include "proof/prove.h"
#include "tests/policy/generators.h"
#include "tests/policy/policy_texts.h"
#include "tests/policy/reading.h"
#include "tests/proof/random_rules.h"
#include "tests/ruleset/rule_generators.h"

namespace tails::proof {
namespace {

using ruleset::RuleSet;
using tails::testing::describe;

/// What examples are made of: the same for both directions, so that both name the same packets.
Familiar familiar_of(const RuleSet& a, const RuleSet& b) {
  Familiar familiar = Familiar::plain();
  familiar.add(a);
  familiar.add(b);
  return familiar;
}

Comparison compared(const RuleSet& a, const RuleSet& b, const Familiar& familiar) {
  auto comparison = compare(a, b, familiar, 200);
  if (!comparison) RC_FAIL(comparison.error().message);
  return std::move(*comparison);
}

/// A difference as a text, seen from its first or its second side.
std::string line(const Difference& difference, bool is_swapped) {
  const auto& a = is_swapped ? difference.b : difference.a;
  const auto& b = is_swapped ? difference.a : difference.b;
  const auto verdict = [](const ruleset::Evaluation& e) { return std::to_string(static_cast<int>(e.verdict)); };
  return std::to_string(static_cast<int>(difference.kind)) + " " + describe(difference.packet) + ": " + verdict(a) +
         " against " + verdict(b);
}

std::vector<std::string> lines(const Comparison& comparison, bool is_swapped) {
  std::vector<std::string> all;
  for (const Difference& difference : comparison.differences) all.push_back(line(difference, is_swapped));
  std::ranges::sort(all);
  return all;
}

void expect_symmetry(const RuleSet& a, const RuleSet& b) {
  const Familiar familiar = familiar_of(a, b);
  const Comparison there = compared(a, b, familiar);
  const Comparison back = compared(b, a, familiar);
  RC_ASSERT(lines(there, false) == lines(back, true));
  RC_ASSERT(there.has_more == back.has_more);
}

RC_GTEST_PROP(Properties, ADifferenceIsTheSameFromBothSides, ()) {
  const Family family = *rc::gen::element(Family::kIpv4, Family::kIpv6);
  testing::RandomRules random(*rc::gen::arbitrary<uint32_t>());
  const RuleSet a = random.rule_set(family, {}, 4);
  expect_symmetry(a, random.variant(a, family, {}));
}

RC_GTEST_PROP(Properties, ADifferenceOfAnyRulesIsTheSameFromBothSides, ()) {
  const Family family = *rc::gen::element(Family::kIpv4, Family::kIpv6);
  expect_symmetry(*tails::testing::rule_sets(family), *tails::testing::rule_sets(family));
}

RC_GTEST_PROP(Properties, RulesDoNotDifferFromThemselves, ()) {
  const RuleSet rules = *tails::testing::rule_sets(*rc::gen::element(Family::kIpv4, Family::kIpv6));
  RC_ASSERT(compared(rules, rules, familiar_of(rules, rules)).is_same());
}

RC_GTEST_PROP(Properties, LoweredRulesAreProvedToSayWhatThePolicySays, ()) {
  const auto reading = tails::testing::read_text(*tails::testing::policy_texts());
  if (!reading.policy) RC_FAIL(render(reading.diagnostics));
  const auto proof = prove(policy::lower(*reading.policy), *reading.policy);
  if (!proof) RC_FAIL(proof.error().message);
  for (const Finding& finding : proof->findings) {
    if (finding.holds != Tristate::kYes) {
      RC_FAIL(std::string(finding.property) + ": " + finding.fact + "\n" +
              (finding.counterexample ? describe(*finding.counterexample) : ""));
    }
  }
}

}  // namespace
}  // namespace tails::proof
