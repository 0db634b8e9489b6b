#include "ruleset/text_writer.h"

#include <gtest/gtest.h>

namespace tails::ruleset {
namespace {

Table filter_with(Rule rule, Family family = Family::kIpv4) {
  Table table = Table::open(family, TableName::kFilter);
  table.find("OUTPUT")->rules.push_back(std::move(rule));
  return table;
}

std::string match_text(const Match& match) { return write_match(Family::kIpv4, match); }

TEST(TextWriter, WritesATableWithItsChainsThenItsRules) {
  Rule rule;
  rule.header.out = InterfaceTest::is(kLoopbackInterface);
  rule.target = Accept{};
  Table table = filter_with(rule);
  table.find("OUTPUT")->policy = ChainPolicy::kDrop;
  table.chains.push_back({"lan", std::nullopt, {Rule{}}, {}, kNoOrigin});
  EXPECT_EQ(write_save(table),
            "*filter\n"
            ":INPUT ACCEPT [0:0]\n"
            ":FORWARD ACCEPT [0:0]\n"
            ":OUTPUT DROP [0:0]\n"
            ":lan - [0:0]\n"
            "-A OUTPUT -o lo -j ACCEPT\n"
            "-A lan\n"
            "COMMIT\n");
}

TEST(TextWriter, WritesCountersOnlyWhenAsked) {
  Rule rule;
  rule.target = Drop{};
  rule.counters = {12, 3456};
  Table table = filter_with(rule);
  table.find("INPUT")->counters = {7, 8};
  EXPECT_EQ(write_save(table, {.counters = true}),
            "*filter\n"
            ":INPUT ACCEPT [7:8]\n"
            ":FORWARD ACCEPT [0:0]\n"
            ":OUTPUT ACCEPT [0:0]\n"
            "[12:3456] -A OUTPUT -j DROP\n"
            "COMMIT\n");
}

TEST(TextWriter, WritesTheTablesOfOneFamilyInTheirOrder) {
  RuleSet rules;
  const std::vector<std::pair<Family, TableName>> tables = {
      {Family::kIpv4, TableName::kRaw}, {Family::kIpv6, TableName::kNat}, {Family::kIpv4, TableName::kFilter}};
  for (const auto& [family, name] : tables) {
    rules.tables.push_back({family, name, {}});
  }
  EXPECT_EQ(write_save(rules, Family::kIpv4), "*raw\nCOMMIT\n*filter\nCOMMIT\n");
  EXPECT_EQ(write_save(rules, Family::kIpv6), "*nat\nCOMMIT\n");
  EXPECT_EQ(write_save(RuleSet{}, Family::kIpv4), "");
}

TEST(TextWriter, NamesARuleOrAPolicy) {
  Rule rule;
  rule.target = Drop{};
  const Table table = filter_with(rule);
  EXPECT_EQ(write_rule(RuleRef{&table, &table.chains[2], 0}), "-A OUTPUT -j DROP");
  EXPECT_EQ(write_rule(RuleRef{&table, &table.chains[2], RuleRef::kPolicy}), "-P OUTPUT ACCEPT");
  EXPECT_EQ(write_rule(RuleRef{}), "");
}

TEST(TextWriter, UnreadableBytesAreWrittenSoThatNoToolTakesThem) {
  EXPECT_EQ(match_text(OpaqueMatch{"quota", 0, {std::byte{0x0A}, std::byte{0xFF}}, "", false}),
            "-m quota --opaque 0:0aff");
  EXPECT_EQ(write_target(Family::kIpv4, OpaqueTarget{"TEE", 1, {}, ""}), "-j TEE --opaque 1:");
  EXPECT_EQ(write_target(Family::kIpv4, OpaqueTarget{"TRACE", 0, {}, ""}), "-j TRACE");
  EXPECT_EQ(match_text(OpaqueMatch{"recent", 0, {}, "--set --name x", false}), "-m recent --set --name x");
}

// A comment can hold any byte. A save file that contains a newline from it would contain a rule from it.
TEST(TextWriter, NoStringCanStartALineOfItsOwn) {
  EXPECT_EQ(match_text(CommentMatch{"a\n-A OUTPUT -j ACCEPT"}), "-m comment --comment \"a -A OUTPUT -j ACCEPT\"");
  EXPECT_EQ(write_target(Family::kIpv4, Jump{"a\nb", false}), "-j \"a b\"");
}

TEST(TextWriter, QuotesStringsAsTheToolDoes) {
  EXPECT_EQ(match_text(CommentMatch{"plain-1_A"}), "-m comment --comment plain-1_A");
  EXPECT_EQ(match_text(CommentMatch{"two words"}), "-m comment --comment \"two words\"");
  EXPECT_EQ(match_text(CommentMatch{"it's \"so\" \\"}), "-m comment --comment \"it\\'s \\\"so\\\" \\\\\"");
  EXPECT_EQ(match_text(CommentMatch{""}), "-m comment --comment \"\"");
}

// The tool writes nothing here, and what it wrote would match every packet instead of none.
TEST(TextWriter, AnInvertedTestOfEverythingIsNotLeftOut) {
  TcpMatch tcp;
  tcp.source_inverted = true;
  EXPECT_EQ(match_text(tcp), "-m tcp ! --sport 0:65535");
  Rule rule;
  rule.header.in.inverted = true;
  EXPECT_EQ(write_rule(Family::kIpv4, "INPUT", rule), "-A INPUT ! -i +");
}

// The tool writes "3/1" and forgets that codes 2 to 5 match too.
TEST(TextWriter, ARangeOfIcmpCodesKeepsItsEnd) {
  EXPECT_EQ(match_text(IcmpMatch{3, 1, 5, false}), "-m icmp --icmp-type 3/1:5");
}

TEST(TextWriter, BitsWithoutANameAreNotLeftOut) {
  TcpMatch tcp;
  tcp.flag_mask = 0xC2;
  tcp.flag_compare = 0x02;
  EXPECT_EQ(match_text(tcp), "-m tcp --tcp-flags SYN,0xc0 SYN");
  EXPECT_EQ(write_target(Family::kIpv4, Reject{4}), "-j REJECT --reject-with 4");
}

}  // namespace
}  // namespace tails::ruleset
