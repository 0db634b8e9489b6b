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

/// A few hundred nodes a rule; for a small set the first table should cost nothing.
int expected_nodes(Family family, std::span<const RuleSet* const> sets) {
  constexpr size_t kLeast = 20'000, kMost = 1'000'000, kPerRule = 200;
  size_t rules = 0;
  for (const RuleSet* set : sets) {
    for (const Table& table : set->tables) rules += table.family == family ? table.rule_count() : 0;
  }
  return static_cast<int>(std::clamp(rules * kPerRule, kLeast, kMost));
}

}  // namespace

Model::Model(Family family, std::span<const RuleSet* const> sets, std::span<const InterfaceName> names)
    : interfaces_(interface_tests(family, sets), names),
      unknowns_(family, sets, Layout(family, interfaces_.bits()).first_unknown),
      session_(unknowns_.first() + unknowns_.count(), expected_nodes(family, sets)),
      space_(family, interfaces_) {
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
