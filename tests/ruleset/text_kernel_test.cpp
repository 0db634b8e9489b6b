// The kernel's bytes and the tool's text say the same: what iptables loaded, decoded from the kernel, is what we read.
#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "iptc/decode.h"
#include "ruleset/text_reader.h"
#include "ruleset/text_writer.h"
#include "tests/iptc/live_tables.h"
#include "tests/ruleset/text_cases.h"

namespace tails::ruleset {
namespace {

bool has_opaque(const Rule& rule) {
  return std::holds_alternative<OpaqueTarget>(rule.target) || std::ranges::any_of(rule.matches, [](const Match& match) {
           return std::holds_alternative<OpaqueMatch>(match);
         });
}

/// "-i +" and, in IPv6, "-p all" leave a trace in the kernel's bytes (a name, a flag) that no text shows and that
/// changes nothing for a packet that is whole. The decoder keeps it, so that the same bytes can be written again.
bool leaves_a_trace(const RuleCase& rule) {
  return rule.canonical.empty() && (rule.input.ends_with(" +") || rule.input.starts_with("-p "));
}

class TextKernel : public iptc::LiveTest {
 protected:
  /// How many rules were compared; those with an opaque part are so on both sides, and only that is checked of them.
  size_t compare(Family family, TableName name) {
    std::string text = "*" + std::string(to_string(name)) + "\n";
    for (const RuleCase& rule : rule_cases()) {
      const bool is_one = rule.expect == RuleCase::Expect::kOk && rule.family == family && rule.table == name;
      if (is_one && !leaves_a_trace(rule)) text += rule.input_rule() + "\n";
    }
    text += "COMMIT\n";
    iptc::restore(family, text);
    const auto raw = kernel().read(family, to_string(name));
    EXPECT_TRUE(raw) << raw.error().message;
    const auto decoded = raw.and_then([](const auto& table) { return iptc::decode(table); });
    const auto read = read_save(text, family, "cases");
    EXPECT_TRUE(decoded && read);
    if (!decoded || !read) return 0;

    size_t compared = 0;
    const Table& ours = read->tables.front();
    EXPECT_EQ(decoded->chains.size(), ours.chains.size());
    for (const Chain& chain : ours.chains) {
      const Chain* const live = decoded->find(chain.name);
      EXPECT_TRUE(live != nullptr && live->rules.size() == chain.rules.size()) << chain.name;
      if (live == nullptr || live->rules.size() != chain.rules.size()) continue;
      for (size_t i = 0; i < chain.rules.size(); ++i) {
        const std::string written = write_rule(family, chain.name, chain.rules[i]);
        EXPECT_EQ(has_opaque(live->rules[i]), has_opaque(chain.rules[i])) << written;
        if (has_opaque(chain.rules[i])) continue;
        EXPECT_TRUE(live->rules[i].says_the_same(chain.rules[i])) << written;
        EXPECT_EQ(write_rule(family, chain.name, live->rules[i]), written);
        ++compared;
      }
    }
    return compared;
  }
};

TEST_F(TextKernel, DecodedRulesAreThoseThatWereRead) {
  size_t compared = 0;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    for (const TableName table :
         {TableName::kFilter, TableName::kNat, TableName::kMangle, TableName::kRaw, TableName::kSecurity}) {
      compared += compare(family, table);
    }
  }
  EXPECT_GT(compared, 500U);
}

}  // namespace
}  // namespace tails::ruleset
