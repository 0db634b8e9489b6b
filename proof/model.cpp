#include "proof/model.h"

#include <algorithm>

namespace tails::proof {
namespace {

using namespace ruleset;

std::vector<InterfaceTest> interface_tests(Family family, std::span<const RuleSet* const> sets) {
  std::vector<InterfaceTest> tests;
  const auto add = [&](const InterfaceTest& test) {
    if (!test.is_any() && (tests.empty() || tests.back() != test)) tests.push_back(test);
  };
  for (const RuleSet* set : sets) {
    for (const Table& table : set->tables) {
      if (table.family != family) continue;
      for (const Chain& chain : table.chains) {
        for (const Rule& rule : chain.rules) {
          add(rule.header.in);
          add(rule.header.out);
        }
      }
    }
  }
  return tests;
}

/// A few hundred nodes a rule, by class a few dozen; for a small set the first table should cost nothing.
int expected_nodes(Family family, std::span<const RuleSet* const> sets, bool is_by_class) {
  constexpr size_t kMost = 1'000'000;
  const size_t least = is_by_class ? 5'000 : 20'000;
  const size_t per_rule = is_by_class ? 50 : 200;
  size_t rules = 0;
  for (const RuleSet* set : sets) {
    for (const Table& table : set->tables) rules += table.family == family ? table.rule_count() : 0;
  }
  return static_cast<int>(std::clamp(rules * per_rule, least, kMost));
}

}  // namespace

Model::Model(Family family, std::span<const RuleSet* const> sets, std::span<const InterfaceName> names,
             std::optional<Granularity> granularity)
    : granularity_(std::move(granularity)),
      interfaces_(interface_tests(family, sets), names),
      unknowns_(family, sets,
                Layout(family, interfaces_.bits(), granularity_ ? &*granularity_ : nullptr).first_unknown),
      session_(unknowns_.first() + unknowns_.count(), expected_nodes(family, sets, granularity_.has_value())),
      space_(family, interfaces_, granularity_ ? &*granularity_ : nullptr) {
  for (int i = unknowns_.count(); i-- > 0;)
    unknown_variables_ = Bdd::literal(unknowns_.first() + i) & unknown_variables_;
  for (const int variable : unknowns_.log_limits()) log_limits_pass_ &= Bdd::literal(variable);
}

size_t Model::variables() const { return static_cast<size_t>(unknowns_.first() + unknowns_.count()); }

std::vector<Bdd> Model::ask(const RuleSet& rules, Hook hook, std::span<const Question> questions) const {
  std::vector<Bdd> answers = fold(rules, space_, unknowns_, hook, questions);
  const Bdd domain = space_.domain(hook);
  for (Bdd& answer : answers) answer &= domain;
  return answers;
}

Bdd Model::ask(const RuleSet& rules, Hook hook, const Question& question) const {
  return ask(rules, hook, std::span(&question, 1)).front();
}

}  // namespace tails::proof
