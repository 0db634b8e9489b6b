#pragma once

#include <cstdint>
#include <random>

#include "net/packet.h"
#include "ruleset/rule_set.h"

/// Random rule sets and packets over few values, so that rules and packets meet often.
namespace tails::proof::testing {

/// Which kinds of doubt a random rule set may hold.
struct Doubts {
  bool matches = false;  ///< Opaque matches, limits, TCP options, supplementary groups.
  bool targets = false;  ///< Opaque targets, NAT to a range.
  bool marks = true;     ///< Marks that rules set. (Set behind a doubtful match, the evaluator forgets them.)
};

class RandomRules {
 public:
  explicit RandomRules(uint32_t seed) : random_(seed) {}

  /// Filter always, the other tables often.
  ruleset::RuleSet rule_set(Family family, Doubts doubts, size_t rules_per_chain = 6);
  /// A packet that the family's hook can meet.
  Packet packet(Family family, Hook hook);
  /// Of two sets: the same rules, a few of them changed.
  ruleset::RuleSet variant(const ruleset::RuleSet& rules, Family family, Doubts doubts);

  bool chance(double probability) { return std::bernoulli_distribution(probability)(random_); }
  size_t below(size_t bound) { return std::uniform_int_distribution<size_t>(0, bound - 1)(random_); }

 private:
  template <class Range>
  const auto& one_of(const Range& range) {
    return range[below(std::size(range))];
  }

  ruleset::Rule rule(const ruleset::Table& table, const ruleset::Chain& chain, Doubts doubts);
  ruleset::AddressTest address_test(Family family);
  ruleset::InterfaceTest interface_test();
  PortRange ports();
  ruleset::Match match(ruleset::Rule& rule, const ruleset::Table& table, bool may_have_owner, Doubts doubts);
  ruleset::Target target(const ruleset::Table& table, const ruleset::Chain& chain, Doubts doubts);
  IpAddress address(Family family);
  Port port();

  std::mt19937 random_;
};

}  // namespace tails::proof::testing
