// Rules to bytes and back, for every revision of an extension that some kernel has only, and for bytes that no tool of
// ours wrote.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "iptc/decode.h"
#include "iptc/encode.h"
#include "iptc/kernel/entry.h"
#include "iptc/rule_codec.h"
#include "ruleset/text_reader.h"
#include "ruleset/text_writer.h"

namespace tails::iptc {
namespace {

using kernel::ExtensionId;
using ruleset::TableName;

/// One rule in OUTPUT.
ruleset::RuleSet rules_of(std::string_view rule, Family family = Family::kIpv4) {
  auto rules = ruleset::read_save("*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT " + std::string(rule) + "\nCOMMIT\n",
                                  family, "rules");
  EXPECT_TRUE(rules) << rules.error().message;
  return rules.value_or(ruleset::RuleSet{});
}

std::string text_of(const ruleset::Table& table) {
  const std::string text = ruleset::write_save(table);
  const size_t begin = text.find("-A OUTPUT ");
  return begin == std::string::npos ? "" : text.substr(begin + 10, text.find('\n', begin) - begin - 10);
}

kernel::EntryView entry_of(const kernel::RawTable& raw) {
  const auto entry = kernel::view_entry(raw.bytes, raw.family);
  EXPECT_TRUE(entry);
  return *entry;
}

struct Revision {
  ExtensionId id;
  std::string rule;
  std::string read_back;  ///< Empty: the same.
};

const std::vector<Revision> kRevisions = {
    {ExtensionId::kConntrack1, "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", ""},
    {ExtensionId::kConntrack1, "-m conntrack ! --ctstate INVALID,NEW --ctstatus ASSURED", ""},
    {ExtensionId::kConntrack1, "-m conntrack --ctstate DNAT ! --ctstatus EXPECTED,SEEN_REPLY", ""},
    {ExtensionId::kConntrack1, "-m state --state NEW -j ACCEPT", ""},
    {ExtensionId::kConntrack2, "-m conntrack --ctstate NEW,UNTRACKED --ctstatus CONFIRMED", ""},
    {ExtensionId::kConntrack2, "-m state ! --state INVALID", ""},
    {ExtensionId::kConntrack3, "-m conntrack ! --ctstatus NONE --ctdir REPLY", ""},
    {ExtensionId::kState0, "-m state --state NEW,ESTABLISHED -j ACCEPT", ""},
    {ExtensionId::kState0, "-m state ! --state INVALID,UNTRACKED", ""},
    {ExtensionId::kState0, "-m conntrack --ctstate RELATED,UNTRACKED", "-m state --state RELATED,UNTRACKED"},
    {ExtensionId::kState0, "-m conntrack ! --ctstate NEW", "-m state ! --state NEW"},
    {ExtensionId::kAddrtype0, "-m addrtype --dst-type LOCAL", ""},
    {ExtensionId::kAddrtype0, "-m addrtype ! --src-type UNICAST,BROADCAST --dst-type MULTICAST", ""},
    {ExtensionId::kAddrtype0, "-m addrtype --src-type LOCAL ! --dst-type ANYCAST", ""},
    {ExtensionId::kAddrtype1, "-m addrtype ! --src-type LOCAL ! --dst-type ANYCAST --limit-iface-in", ""},
    {ExtensionId::kAddrtype1, "-m addrtype --src-type LOCAL --limit-iface-out", ""},
    {ExtensionId::kMultiport0, "-p tcp -m multiport --dports 22,80,443 -j ACCEPT", ""},
    {ExtensionId::kMultiport0, "-p udp -m multiport --sports 53", ""},
    {ExtensionId::kMultiport0, "-p udp -m multiport --ports 53,123", ""},
    {ExtensionId::kMultiport1, "-p tcp -m multiport ! --ports 1,2,3:65535", ""},
};

TEST(Revisions, EachAloneSaysTheRule) {
  for (const Revision& revision : kRevisions) {
    SCOPED_TRACE(revision.rule);
    // Of that extension the kernel has this revision and no other.
    Features features = Features::all();
    for (const ExtensionId id :
         {ExtensionId::kConntrack1, ExtensionId::kConntrack2, ExtensionId::kConntrack3, ExtensionId::kState0,
          ExtensionId::kAddrtype0, ExtensionId::kAddrtype1, ExtensionId::kMultiport0, ExtensionId::kMultiport1}) {
      features.set(Family::kIpv4, id, id == revision.id);
    }
    const ruleset::RuleSet rules = rules_of(revision.rule);
    const auto raw = encode(rules, rules.tables[0], features);
    ASSERT_TRUE(raw) << raw.error().message;
    const DecodedRule read = read_rule(entry_of(*raw), Family::kIpv4);
    ASSERT_EQ(read.form.matches.size(), 1U);
    EXPECT_EQ(read.form.matches[0], revision.id);
    const auto table = decode(*raw);
    ASSERT_TRUE(table);
    EXPECT_EQ(text_of(*table), revision.read_back.empty() ? revision.rule : revision.read_back);
  }
}

TEST(Revisions, ThatCannotSayARuleAreNotTakenForIt) {
  struct Case {
    ExtensionId only;
    std::string rule;
  };
  const std::vector<Case> cases = {
      {ExtensionId::kConntrack1, "-m conntrack --ctstate UNTRACKED"},
      {ExtensionId::kConntrack2, "-m conntrack --ctdir REPLY"},
      {ExtensionId::kState0, "-m conntrack --ctstate DNAT"},
      {ExtensionId::kState0, "-m conntrack --ctstate NEW --ctstatus ASSURED"},
      {ExtensionId::kAddrtype0, "-m addrtype --src-type LOCAL --limit-iface-in"},
      {ExtensionId::kMultiport0, "-p tcp -m multiport --dports 1:2"},
      {ExtensionId::kMultiport0, "-p tcp -m multiport ! --dports 1"},
  };
  for (const Case& c : cases) {
    Features features;
    features.set(Family::kIpv4, c.only, true);
    const ruleset::RuleSet rules = rules_of(c.rule);
    const auto raw = encode(rules, rules.tables[0], features);
    ASSERT_FALSE(raw) << c.rule;
    EXPECT_EQ(raw.error().kind, ErrorKind::kRefused);
  }
}

/// Bytes of a rule's header that the tools do not write: not understood, and never lost.
TEST(ForeignBytes, OfAHeaderComeOutAsTheyWentIn) {
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const kernel::EntryLayout at = kernel::entry_layout(family);
    struct Change {
      std::string name;
      size_t offset;
      uint8_t value;
    };
    const std::vector<Change> changes = {
        {"a flag that nobody knows", at.flags, 0x80},
        {"an inversion that nobody knows", at.inversions, 0x80},
        {"a hole in an interface's mask", at.in_mask + 1, 0},
        {"a byte behind an interface's name", at.out + 10, 'x'},
        {"an interface's mask without an end", at.out_mask + 15, 0xFF},
        {"a protocol that does not fit a byte", at.protocol + 1, 1},
    };
    for (const Change& change : changes) {
      SCOPED_TRACE(change.name);
      const ruleset::RuleSet rules = rules_of("-o eth0 -p tcp -j DROP", family);
      auto raw = encode(rules, rules.tables[0], Features::all());
      ASSERT_TRUE(raw);
      if (change.name.starts_with("a hole")) {
        for (size_t i = 0; i < 4; ++i) {
          raw->bytes[at.in + i] = std::byte{'e'};
          raw->bytes[at.in_mask + i] = std::byte{0xFF};
        }
      }
      if (change.name.ends_with("without an end")) {
        for (size_t i = 0; i < 16; ++i) {
          raw->bytes[at.out + i] = std::byte{'e'};
          raw->bytes[at.out_mask + i] = std::byte{0xFF};
        }
      }
      raw->bytes[change.offset] = std::byte{change.value};
      const DecodedRule read = read_rule(entry_of(*raw), family);
      ASSERT_EQ(read.rule.matches.size(), 1U);
      const auto* const opaque = std::get_if<ruleset::OpaqueMatch>(&read.rule.matches[0]);
      ASSERT_NE(opaque, nullptr) << "whoever judges the rule knows that he does not know it";
      std::vector<std::byte> again;
      ASSERT_TRUE(write_rule(read.rule, family, read.form, kernel::kNativeAbi, again));
      EXPECT_EQ(again, raw->bytes);
    }
  }
}

TEST(ForeignBytes, AFlagToGoThatLeadsNowhereIsKept) {
  const ruleset::RuleSet rules = rules_of("-j DROP");
  auto raw = encode(rules, rules.tables[0], Features::all());
  ASSERT_TRUE(raw);
  raw->bytes[kernel::entry_layout(Family::kIpv4).flags] = std::byte{kernel::flag_v4::kGoto};
  const DecodedRule read = read_rule(entry_of(*raw), Family::kIpv4);
  EXPECT_TRUE(std::holds_alternative<ruleset::Drop>(read.rule.target));
  std::vector<std::byte> again;
  ASSERT_TRUE(write_rule(read.rule, Family::kIpv4, read.form, kernel::kNativeAbi, again));
  EXPECT_EQ(again, raw->bytes);
}

TEST(Encode, RefusesByNameWhatIsOnlyKnownAsText) {
  for (const std::string rule : {"-m recent --set --name x", "-j TPROXY --on-port 1"}) {
    const ruleset::RuleSet rules = rules_of(rule);
    const auto raw = encode(rules, rules.tables[0], Features::all());
    ASSERT_FALSE(raw) << rule;
    const std::string name = rule.substr(3, rule.find(' ', 3) - 3);
    EXPECT_THAT(raw.error().message,
                ::testing::EndsWith(" uses \"" + name + "\", whose options this program cannot write"));
  }
}

TEST(Encode, RefusesARuleThatNoEntryCanHold) {
  ruleset::RuleSet rules = rules_of("-j DROP");
  auto& rule = rules.tables[0].find("OUTPUT")->rules[0];
  const auto with_bytes = [&](size_t matches) {
    rule.matches.assign(matches, ruleset::OpaqueMatch{"foreign", 0, std::vector<std::byte>(992), {}, false});
    return encode(rules, rules.tables[0], Features::all());
  };
  // Each takes 1,024 bytes with its head.
  EXPECT_TRUE(with_bytes(63));
  const auto raw = with_bytes(64);
  ASSERT_FALSE(raw);
  EXPECT_THAT(raw.error().message, ::testing::EndsWith(" is longer than an entry can be"));
}

TEST(Decode, RefusesATableThatItDoesNotKnowOrWhoseEntriesDoNotFit) {
  const ruleset::RuleSet rules = rules_of("-j DROP");
  auto raw = encode(rules, rules.tables[0], Features::all());
  ASSERT_TRUE(raw);
  auto other = *raw;
  other.name = "sieve";
  const auto unknown = decode(other);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().message, "table \"sieve\" is not one that this program knows");
  auto damaged = *raw;
  kernel::store<uint16_t>(damaged.bytes, kernel::entry_layout(Family::kIpv4).next_offset, uint16_t{0xFFF8});
  const auto broken = decode(damaged);
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().message,
            "table \"filter\" of IPv4 has an entry that does not end where it says, in chain OUTPUT");
}

}  // namespace
}  // namespace tails::iptc
