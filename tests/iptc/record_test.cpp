#include "iptc/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "iptc/encode.h"
#include "tests/iptc/memory_files.h"

namespace tails::iptc {
namespace {

using ruleset::TableName;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

RecordedTable entry(uint64_t network_namespace, uint64_t whole, std::string body = "body\n") {
  RecordedTable table;
  table.network_namespace = network_namespace;
  table.table = "filter";
  table.whole = whole;
  table.body = std::make_shared<const std::string>(std::move(body));
  return table;
}

/// A table whose names hold everything that a name in the file is written otherwise for.
struct Written {
  ruleset::RuleSet rules;
  TableFingerprint fingerprint;
  std::string body;
};
Written written() {
  Written result;
  ruleset::RuleSet& rules = result.rules;
  rules.tables.push_back(ruleset::Table::open(Family::kIpv4, TableName::kFilter));
  auto& output = *rules.tables[0].find("OUTPUT");
  output.origin = rules.intern({SharedText(std::string("odd\tname\\of\na.toml")), 3, SharedText(std::string("x\ty"))});
  ruleset::Rule rule;
  rule.target = ruleset::Drop{};
  rule.origin = rules.intern({SharedText(std::string("odd\tname\\of\na.toml")), 4, SharedText(std::string("plain"))});
  output.rules.push_back(rule);
  rule.origin = ruleset::kNoOrigin;
  output.rules.push_back(rule);
  const auto raw = encode(rules, rules.tables[0], Features::all());
  if (!raw) std::abort();
  result.fingerprint = fingerprint(*raw);
  result.body = record_body(rules, rules.tables[0], result.fingerprint, "tails\t\"x\"\\\n");
  return result;
}

TEST(RecordBody, KeepsNamesWithTabsBackslashesAndNewlines) {
  const Written table = written();
  const auto read = parse_body(table.body);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->policy, "tails\t\"x\"\\\n");
  ASSERT_THAT(read->chains, SizeIs(3));
  const auto& output = read->chains[2];
  EXPECT_EQ(output.name, "OUTPUT");
  EXPECT_EQ(read->origins.at(output.origin), *table.rules.origin(table.rules.tables[0].find("OUTPUT")->origin));
  ASSERT_THAT(output.origins, SizeIs(2));
  EXPECT_EQ(read->origins.at(output.origins[0]),
            *table.rules.origin(table.rules.tables[0].find("OUTPUT")->rules[0].origin));
  EXPECT_EQ(output.origins[1], ruleset::kNoOrigin);
  EXPECT_EQ(output.rules, table.fingerprint.rules);
}

TEST(RecordBody, IsNotBelievedWhereAnythingIsMissingOrNoNumber) {
  const std::string body = written().body;
  ASSERT_TRUE(parse_body(body));
  size_t sound = 0;
  for (size_t length = 0; length < body.size(); ++length) sound += parse_body(body.substr(0, length)) ? 1U : 0U;
  // A body may end behind a chain whose rules are all there, and nowhere else: behind the list of origins, INPUT and
  // FORWARD.
  EXPECT_EQ(sound, 3U);
  const std::string head = "tails\n1\n3\tfile\tentry\n";
  ASSERT_TRUE(parse_body(head + "chain 0 OUTPUT\t1\nff 0\n"));
  ASSERT_TRUE(parse_body(head + "chain - OUTPUT\t1\nff -\n"));
  for (const char* const chains :
       {"chain 1 OUTPUT\t0\n", "chain -0 OUTPUT\t0\n", "chain 0 OUTPUT\t1\nff 1\n", "chain 0 OUTPUT\t1\nff -1\n",
        "chain 0 OUTPUT\t1\nxy 0\n", "chain 0 OUTPUT\t1\nff 0x\n", "chain 0 OUTPUT\t\n", "chain 0 OUTPUT\t2\nff 0\n",
        "chain 0 OUTPUT\t99999999999999999999\n", "chain  OUTPUT\t0\n", "other 0 OUTPUT\t0\n"}) {
    EXPECT_FALSE(parse_body(head + chains)) << chains;
  }
  EXPECT_FALSE(parse_body("tails\n2\n3\tfile\tentry\n"));
  EXPECT_FALSE(parse_body("tails\nmany\n"));
}

TEST(Record, ReadsWhatItWroteAndBelievesNothingOfADamagedOne) {
  Record record;
  record.add(entry(7, 0xABC, written().body));
  RecordedTable guard = entry(8, 0xDEF, "");
  guard.family = Family::kIpv6;
  guard.kind = RecordedTable::Kind::kGuard;
  record.add(guard);
  const std::string text = record.print();
  EXPECT_EQ(Record::parse(text), record);
  for (size_t length = 0; length < text.size(); ++length) {
    const Record cut = Record::parse(text.substr(0, length));
    ASSERT_LE(cut.tables().size(), 1U) << length;
    // Of a head line and whole tables a shorter record can be made; else there is none.
    if (!cut.tables().empty()) {
      ASSERT_EQ(cut.print(), text.substr(0, length));
    }
  }
  EXPECT_THAT(Record::parse("another program's file\n").tables(), IsEmpty());
  EXPECT_THAT(Record::parse("tails-iptc record 1\ntable 7 4 filter rules abc 5\nbody").tables(), IsEmpty());
  EXPECT_THAT(Record::parse("tails-iptc record 1\ntable 7 4 filter rules xyz 0\n").tables(), IsEmpty());
}

TEST(Record, DiffersWhereAnEntryDoes) {
  const auto of = [](const RecordedTable& table) {
    Record record;
    record.add(table);
    return record;
  };
  const RecordedTable one = entry(7, 0xABC);
  EXPECT_EQ(of(one), of(entry(7, 0xABC))) << "though the bodies are two";
  std::vector<RecordedTable> others(6, one);
  others[0].network_namespace = 8;
  others[1].family = Family::kIpv6;
  others[2].table = "nat";
  others[3].kind = RecordedTable::Kind::kGuard;
  others[4].whole = 0xDEF;
  others[5].body = std::make_shared<const std::string>("other\n");
  for (const RecordedTable& other : others) EXPECT_FALSE(of(one) == of(other));
  EXPECT_FALSE(of(one) == Record{});
}

TEST(Record, FindsATableOfThisNamespaceBeforeTheSameOfAnother) {
  Record record;
  record.add(entry(7, 0xABC, "seven\n"));
  record.add(entry(8, 0xABC, "eight\n"));
  record.add(entry(9, 0xABC, "nine\n"));
  record.add(entry(7, 0xDEF, "other\n"));
  EXPECT_EQ(*record.find(7, Family::kIpv4, "filter", 0xABC)->body, "seven\n");
  EXPECT_EQ(*record.find(8, Family::kIpv4, "filter", 0xABC)->body, "eight\n");
  EXPECT_EQ(*record.find(1, Family::kIpv4, "filter", 0xABC)->body, "nine\n") << "the newest";
  EXPECT_EQ(record.find(7, Family::kIpv6, "filter", 0xABC), nullptr);
  EXPECT_EQ(record.find(7, Family::kIpv4, "nat", 0xABC), nullptr);
  EXPECT_EQ(record.find(7, Family::kIpv4, "filter", 0x123), nullptr);
}

TEST(Record, AddsInThePlaceOfTheSameContentOnly) {
  Record record;
  record.add(entry(7, 0xABC, "old\n"));
  record.add(entry(7, 0xDEF));
  record.add(entry(8, 0xABC));
  record.add(entry(7, 0xABC, "new\n"));
  EXPECT_THAT(record.tables(), SizeIs(3));
  EXPECT_EQ(*record.tables()[0].body, "new\n") << "the newest is the first";
}

TEST(Record, ForgetsItsOwnUnwantedAndTheOldestOfOthers) {
  const auto nothing = [](const RecordedTable&) { return false; };
  Record record;
  for (uint64_t i = 0; i < 100; ++i) record.add(entry(1000 + i, i));
  record.add(entry(7, 0xABC));
  record.prune(7, nothing);
  EXPECT_THAT(record.tables(), SizeIs(64));
  EXPECT_EQ(record.tables()[0].network_namespace, 1099U);
  EXPECT_EQ(record.find(7, Family::kIpv4, "filter", 0xABC), nullptr);

  Record large;
  const std::string megabytes(20UL << 20, 'x');
  for (uint64_t i = 0; i < 3; ++i) large.add(entry(1000 + i, i, megabytes));
  large.prune(7, nothing);
  ASSERT_THAT(large.tables(), SizeIs(1));
  EXPECT_EQ(large.tables()[0].network_namespace, 1002U);
  Record one;
  one.add(entry(1000, 1, std::string(40UL << 20, 'x')));
  one.prune(7, nothing);
  EXPECT_THAT(one.tables(), SizeIs(1)) << "the newest stays, however long it is";
}

TEST(Record, ThatIsMissingIsEmptyAndOneThatCannotBeReadIsAnError) {
  MemoryFiles files;
  const auto missing = Record::read(files, "/run/tails-iptc");
  ASSERT_TRUE(missing);
  EXPECT_THAT(missing->tables(), IsEmpty());
  Record record;
  record.add(entry(7, 0xABC));
  ASSERT_TRUE(record.write(files, "/run/tails-iptc")) << "it makes the folder";
  EXPECT_EQ(Record::read(files, "/run/tails-iptc").value(), record);
  files.closed_off["/run/tails-iptc/applied"] = EACCES;
  const auto closed = Record::read(files, "/run/tails-iptc");
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().message, "cannot open /run/tails-iptc/applied: permission denied (EACCES)");
}

}  // namespace
}  // namespace tails::iptc
