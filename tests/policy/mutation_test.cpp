// Whether the comparison of rules and policy can fail at all: a rule less, or a test less in a rule, must be noticed.
// This also shows that a profile's rules are as few as its meaning needs.
#include <gtest/gtest.h>

#include <set>

#include "policy/lower.h"
#include "ruleset/text_writer.h"
#include "tests/policy/generators.h"

namespace tails::testing {
namespace {

using namespace ruleset;

constexpr size_t kMostPackets = 200'000;

bool is_noticed(const policy::Policy& policy, const RuleSet& mutant, uint64_t seed) {
  const Evaluator evaluator(mutant);
  PacketGenerator generator(policy, seed);
  for (size_t i = 0; i < kMostPackets; ++i) {
    if (disagreement(policy, evaluator, generator.next())) return true;
  }
  return false;
}

/// Calls `mutate(rule set, chain of it, index)` on a copy for every rule, and collects the rules whose mutants pass.
template <class Mutate>
std::set<std::string> unnoticed(const policy::Policy& policy, Mutate mutate) {
  const RuleSet rules = policy::lower(policy);
  const uint64_t seed = seed_or(9);
  std::set<std::string> passed;
  for (size_t t = 0; t < rules.tables.size(); ++t) {
    const Table& table = rules.tables[t];
    for (size_t c = 0; c < table.chains.size(); ++c) {
      for (size_t r = 0; r < table.chains[c].rules.size(); ++r) {
        const std::string text = write_rule(table.family, table.chains[c].name, table.chains[c].rules[r]);
        mutate(rules, t, c, r, [&](const RuleSet& mutant) {
          if (!is_noticed(policy, mutant, seed)) passed.insert(text);
        });
      }
    }
  }
  return passed;
}

std::set<std::string> unnoticed_without_a_rule(const policy::Policy& policy) {
  return unnoticed(policy, [](const RuleSet& rules, size_t t, size_t c, size_t r, auto&& check) {
    RuleSet mutant = rules;
    auto& list = mutant.tables[t].chains[c].rules;
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(r));
    check(mutant);
  });
}

TEST(Comparison, NoticesEveryRuleThatIsMissing) {
  EXPECT_EQ(unnoticed_without_a_rule(profile("tails-i2p")), std::set<std::string>{});
  EXPECT_EQ(unnoticed_without_a_rule(profile("tails-classic")), std::set<std::string>{});
  // _apt has no grant that this denial takes away; masquerading changes no verdict.
  EXPECT_EQ(unnoticed_without_a_rule(profile("tails")),
            (std::set<std::string>{"-A OUTPUT -d 127.0.0.1/32 -o lo -p udp -m multiport --dports 53,5353 -m owner "
                                   "--uid-owner 42 -j log_reject",
                                   "-A POSTROUTING -s 10.200.1.16/30 -j MASQUERADE"}));
}

TEST(Comparison, NoticesEveryTestThatIsMissingInARule) {
  const auto passed = unnoticed(profile("tails-i2p"), [](const RuleSet& rules, size_t t, size_t c, size_t r,
                                                         auto&& check) {
    const Rule& rule = rules.tables[t].chains[c].rules[r];
    const auto check_without = [&](auto&& widen) {
      RuleSet mutant = rules;
      widen(mutant.tables[t].chains[c].rules[r]);
      if (!mutant.tables[t].chains[c].rules[r].says_the_same(rule)) check(mutant);
    };
    check_without([](Rule& wider) { wider.header.source = {}; });
    check_without([](Rule& wider) { wider.header.destination = {}; });
    check_without([](Rule& wider) { wider.header.in = {}; });
    check_without([](Rule& wider) { wider.header.out = {}; });
    for (size_t m = 0; m < rule.matches.size(); ++m) {
      check_without([&](Rule& wider) { wider.matches.erase(wider.matches.begin() + static_cast<std::ptrdiff_t>(m)); });
    }
  });
  // By loopback nothing is granted behind this rule, so it says "not by loopback" only to be read.
  EXPECT_EQ(passed, (std::set<std::string>{"-A OUTPUT -d 127.0.0.0/8 ! -o lo -j log_reject"}));
}

TEST(Comparison, NoticesAnotherVerdict) {
  const policy::Policy policy = profile("tails");
  const auto passed = unnoticed(policy, [](const RuleSet& rules, size_t t, size_t c, size_t r, auto&& check) {
    RuleSet mutant = rules;
    Target& target = mutant.tables[t].chains[c].rules[r].target;
    if (!std::holds_alternative<Accept>(target)) return;
    target = Drop{};
    check(mutant);
  });
  EXPECT_EQ(passed, std::set<std::string>{});
}

}  // namespace
}  // namespace tails::testing
