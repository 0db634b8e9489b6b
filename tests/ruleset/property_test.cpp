// Written and read again, rules are the same rules: for whatever rules, and the shortest ones that show a fault.
// RC_PARAMS="max_success=100000" for more of them, "seed=N" for others (rapidcheck's documentation, "Configuration").
#include <gtest/gtest.h>
// Behind gtest.h, which it needs.
#include <rapidcheck/gtest.h>

#include "ruleset/text_reader.h"
#include "ruleset/text_writer.h"
#include "tests/ruleset/rule_generators.h"

namespace tails::ruleset {
namespace {

void expect_identity(Family family) {
  const RuleSet rules = *tails::testing::rule_sets(family);
  const WriteOptions options{.counters = true};
  const std::string text = write_save(rules, family, options);
  const auto again = read_save(text, family, "written.rules");
  if (!again) RC_FAIL(again.error().message + "\n" + text);
  RC_ASSERT(again->tables.size() == rules.tables.size());
  for (size_t i = 0; i < rules.tables.size(); ++i) {
    const Table& table = *again->find(family, rules.tables[i].name);
    if (!table.says_the_same(rules.tables[i])) RC_FAIL("other rules:\n" + text + write_save(*again, family, options));
    for (size_t c = 0; c < table.chains.size(); ++c) {
      for (size_t r = 0; r < table.chains[c].rules.size(); ++r) {
        RC_ASSERT(table.chains[c].rules[r].counters == rules.tables[i].chains[c].rules[r].counters);
      }
    }
  }
}

RC_GTEST_PROP(Properties, WrittenAndReadIpv4RulesAreTheSame, ()) { expect_identity(Family::kIpv4); }
RC_GTEST_PROP(Properties, WrittenAndReadIpv6RulesAreTheSame, ()) { expect_identity(Family::kIpv6); }

}  // namespace
}  // namespace tails::ruleset
