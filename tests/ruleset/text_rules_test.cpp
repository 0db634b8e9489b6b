// Every line of text_rules.t by our reader and writer alone; text_tool_test.cpp asks iptables.
#include <gtest/gtest.h>

#include "ruleset/text_reader.h"
#include "ruleset/text_writer.h"
#include "tests/ruleset/text_cases.h"

namespace tails::ruleset {
namespace {

bool is_read(const RuleCase& rule) {
  return rule.expect == RuleCase::Expect::kOk || rule.expect == RuleCase::Expect::kOurs;
}

std::string written(const RuleSet& rules, const RuleCase& rule) {
  const Chain* const chain = rules.find(rule.family, rule.table)->find(rule.chain);
  EXPECT_EQ(chain->rules.size(), 1U);
  return write_rule(rule.family, rule.chain, chain->rules.front());
}

TEST(TextRules, EveryLineIsReadAndWrittenAsItSays) {
  for (const RuleCase& rule : rule_cases()) {
    SCOPED_TRACE(rule.where());
    const auto read = read_save(rule.input_text(), rule.family, "case");
    if (is_read(rule)) {
      EXPECT_EQ(read ? written(*read, rule) : read.error().message, rule.canonical_rule());
      continue;
    }
    EXPECT_FALSE(read) << "read as: " << written(*read, rule);
    if (read) continue;
    EXPECT_EQ(read.error().kind, ErrorKind::kRejected);
    EXPECT_TRUE(read.error().message.starts_with("case:2:")) << read.error().message;
  }
}

TEST(TextRules, WhatWasWrittenIsReadAsTheSame) {
  for (const RuleCase& rule : rule_cases()) {
    if (!is_read(rule)) continue;
    SCOPED_TRACE(rule.where());
    const auto read = read_save(rule.input_text(), rule.family, "case");
    ASSERT_TRUE(read) << read.error().message;
    const std::string text = write_save(*read, rule.family);
    const auto again = read_save(text, rule.family, "again");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(write_save(*again, rule.family), text);
    EXPECT_TRUE(again->tables.front().says_the_same(read->tables.front())) << text;
  }
}

}  // namespace
}  // namespace tails::ruleset
