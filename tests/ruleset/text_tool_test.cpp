// What iptables 1.8.9 itself says to text_rules.t and to what we write.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <utility>

#include "ruleset/text_reader.h"
#include "ruleset/text_writer.h"
#include "tests/ruleset/text_cases.h"
#include "tests/ruleset/text_tool.h"

namespace tails::ruleset {
namespace {

class TextTool : public testing::Test {
 protected:
  void SetUp() override {
    static const std::string reason = why_no_tool();
    if (reason.empty()) return;
    if (std::getenv("CI") != nullptr) FAIL() << reason;
    GTEST_SKIP() << reason;
  }
};

std::string table_text(TableName table, const std::string& rules) {
  return "*" + std::string(to_string(table)) + "\n" + rules + "COMMIT\n";
}

/// The cases of each family and table that both sides read, with what `line` gives for each, as one text.
template <class Line>
std::map<std::pair<Family, TableName>, std::string> texts_of_ok_cases(const Line& line) {
  std::map<std::pair<Family, TableName>, std::string> rules;
  for (const RuleCase& rule : rule_cases()) {
    if (rule.expect == RuleCase::Expect::kOk) rules[{rule.family, rule.table}] += line(rule) + "\n";
  }
  for (auto& [key, text] : rules) text = table_text(key.second, text);
  return rules;
}

std::string only_rules(const std::string& saved) {
  std::string rules;
  for (size_t at = 0; at < saved.size();) {
    const size_t end = saved.find('\n', at);
    const std::string line = saved.substr(at, end - at);
    at = end + 1;
    if (!line.starts_with('[')) continue;
    rules += line.substr(line.find(' ') + 1) + '\n';
  }
  return rules;
}

std::string canonical_rules(Family family, TableName table) {
  std::map<std::string, std::string> by_chain;
  for (const RuleCase& rule : rule_cases()) {
    if (rule.expect != RuleCase::Expect::kOk || rule.family != family || rule.table != table) continue;
    by_chain[rule.chain] += rule.canonical_rule() + '\n';
  }
  std::string rules;
  for (const std::string_view chain : builtin_chains(table)) rules += by_chain[std::string(chain)];
  return rules;
}

TEST_F(TextTool, PrintsWhatTheCasesCallCanonical) {
  for (const auto& [key, text] : texts_of_ok_cases([](const RuleCase& rule) { return rule.input_rule(); })) {
    const ToolRun run = restore_and_save(key.first, text);
    ASSERT_EQ(run.status, 0) << run.errors << text;
    EXPECT_EQ(only_rules(run.output), canonical_rules(key.first, key.second));
  }
}

TEST_F(TextTool, WhatItPrintsWeWriteAgainByteForByte) {
  for (const auto& [key, text] : texts_of_ok_cases([](const RuleCase& rule) { return rule.input_rule(); })) {
    const ToolRun run = restore_and_save(key.first, text);
    ASSERT_EQ(run.status, 0) << run.errors << text;
    const auto read = read_save(run.output, key.first, "saved");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(write_save(*read, key.first, {.counters = true}), run.output);
  }
}

TEST_F(TextTool, LoadsWhatWeWriteAndPrintsItUnchanged) {
  for (const auto& [key, text] : texts_of_ok_cases([](const RuleCase& rule) { return rule.input_rule(); })) {
    const auto read = read_save(text, key.first, "input");
    ASSERT_TRUE(read) << read.error().message;
    const std::string written = write_save(*read, key.first, {.counters = true});
    const ToolRun tested = restore_test(key.first, written);
    EXPECT_EQ(tested.status, 0) << tested.errors;
    const ToolRun loaded = restore_and_save(key.first, written);
    ASSERT_EQ(loaded.status, 0) << loaded.errors;
    EXPECT_EQ(loaded.output, written);
  }
}

TEST_F(TextTool, RefusesWhatTheCasesSayItRefuses) {
  for (const RuleCase& rule : rule_cases()) {
    if (rule.expect == RuleCase::Expect::kOk || rule.expect == RuleCase::Expect::kOurs) continue;
    SCOPED_TRACE(rule.where());
    // --test parses and stops short of the kernel; what only the kernel refuses must be loaded.
    const ToolRun run = restore_and_save(rule.family, rule.input_text());
    if (rule.expect == RuleCase::Expect::kFail) {
      EXPECT_NE(run.status, 0) << run.output;
    } else {
      EXPECT_EQ(run.status, 0) << run.errors;
    }
  }
}

/// All tables at once, user chains that call each other, counters, every policy.
TEST_F(TextTool, AWholeRuleSetComesBackByteForByte) {
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const std::string net = family == Family::kIpv4 ? "192.0.2.0/24" : "2001:db8::/32";
    const std::string text =
        "*raw\n:PREROUTING ACCEPT [1:2]\n:OUTPUT DROP [3:4]\n[5:6] -A OUTPUT -o lo -j CT --notrack\nCOMMIT\n"
        "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
        ":POSTROUTING ACCEPT [0:0]\n[0:0] -A POSTROUTING ! -o lo -j DSCP --set-dscp 0x00\nCOMMIT\n"
        "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
        "[18446744073709551615:1] -A OUTPUT -p udp -m udp --dport 53 -j REDIRECT --to-ports 5353\nCOMMIT\n"
        "*filter\n:INPUT DROP [7:8]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [18446744073709551615:9]\n"
        ":Zebra - [0:0]\n:a.b:c - [0:0]\n:lan - [0:0]\n:log_reject - [0:0]\n"
        "[1:60] -A OUTPUT -d " +
        net +
        " -j lan\n[2:0] -A OUTPUT -g log_reject\n[0:0] -A OUTPUT\n"
        "[0:0] -A Zebra -j a.b:c\n[0:0] -A lan -p tcp -m tcp --dport 53 -j log_reject\n[0:0] -A lan -j RETURN\n"
        "[0:0] -A log_reject -j LOG --log-prefix \"Dropped outbound packet: \" --log-level 7 --log-uid\n"
        "[0:0] -A log_reject -j DROP\nCOMMIT\n";
    const ToolRun run = restore_and_save(family, text);
    ASSERT_EQ(run.status, 0) << run.errors;
    EXPECT_EQ(run.output, text);
    const auto read = read_save(run.output, family, "saved");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(write_save(*read, family, {.counters = true}), text);
  }
}

/// The kernel looks for a chain first, so a chain called LOG takes every "-j LOG".
TEST_F(TextTool, AChainCalledLikeATargetTakesItsJumps) {
  const std::string text = "*filter\n:LOG - [0:0]\n-A OUTPUT -j LOG\n-A LOG -j DROP\nCOMMIT\n";
  const ToolRun run = restore_and_save(Family::kIpv4, text);
  ASSERT_EQ(run.status, 0) << run.errors;
  const auto read = read_save(text, Family::kIpv4, "hand");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(write_save(*read, Family::kIpv4, {.counters = true}), run.output);
  EXPECT_EQ(read->tables[0].find("OUTPUT")->rules[0].target, Target(Jump{"LOG", false}));
}

TEST_F(TextTool, AChainTakesNoOptionsOfTheTargetItIsNamedAfter) {
  const std::string text = "*filter\n:LOG - [0:0]\n-A OUTPUT -j LOG --log-uid\nCOMMIT\n";
  EXPECT_NE(restore_test(Family::kIpv4, text).status, 0);
  EXPECT_FALSE(read_save(text, Family::kIpv4, "hand"));
}

}  // namespace
}  // namespace tails::ruleset
