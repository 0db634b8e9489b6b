#include <variant>

#include "iptc/decode.h"
#include "iptc/encode.h"
#include "iptc/rule_codec.h"
#include "tests/iptc/live_tables.h"
#include "tests/iptc/rule_cases.h"

namespace tails::iptc {
namespace {

class CodecLive : public LiveTest, public testing::WithParamInterface<Case> {};

bool has_opaque(const ruleset::Rule& rule) {
  for (const ruleset::Match& match : rule.matches) {
    if (std::holds_alternative<ruleset::OpaqueMatch>(match)) return true;
  }
  return std::holds_alternative<ruleset::OpaqueTarget>(rule.target);
}

/// Every entry of the table through decoder and encoder; returns how many of them have an opaque part.
size_t expect_same_bytes(const kernel::RawTable& raw) {
  size_t opaque = 0;
  for (const kernel::RawChain& chain : raw.chains) {
    size_t position = 0;
    for (auto rest = raw.entries(chain); !rest.empty();) {
      const auto entry = kernel::view_entry(rest, raw.family);
      EXPECT_TRUE(entry);
      if (!entry) return opaque;
      const DecodedRule decoded = read_rule(*entry, raw.family);
      std::vector<std::byte> again;
      EXPECT_TRUE(write_rule(decoded.rule, raw.family, decoded.form, kernel::kNativeAbi, again));
      EXPECT_TRUE(std::ranges::equal(again, entry->bytes)) << "rule " << ++position << " of chain " << chain.name;
      if (has_opaque(decoded.rule)) ++opaque;
      rest = rest.subspan(entry->bytes.size());
    }
  }
  return opaque;
}

TEST_P(CodecLive, WhatTheToolWroteIsKnownAndComesOutWithTheSameBytes) {
  ASSERT_NO_FATAL_FAILURE(restore(GetParam().family, GetParam().text));
  const auto raw = kernel().read(GetParam().family, GetParam().table);
  TAILS_ASSERT_OK(raw);
  EXPECT_GT(raw->entry_count(), 0U);
  EXPECT_EQ(expect_same_bytes(*raw), 0U);
}

TEST_P(CodecLive, WhatWeWriteTheToolPrintsAsItsOwn) {
  ASSERT_NO_FATAL_FAILURE(restore(GetParam().family, GetParam().text));
  const std::string as_the_tool_wrote = save(GetParam().family, GetParam().table);
  const auto raw = kernel().read(GetParam().family, GetParam().table);
  TAILS_ASSERT_OK(raw);
  const auto table = decode(*raw);
  TAILS_ASSERT_OK(table);
  const ruleset::RuleSet rules{{*table}, {}};

  enter_fresh_namespace();
  Features features;
  TAILS_ASSERT_OK(probe(kernel(), rules, features));
  const auto ours = encode(rules, *table, features);
  TAILS_ASSERT_OK(ours);
  EXPECT_TRUE(kernel::same_rules(*ours, *raw)) << "same revisions, same bytes as the tool";
  const auto before = kernel().read(GetParam().family, GetParam().table);
  TAILS_ASSERT_OK(before);
  TAILS_ASSERT_OK(kernel().replace(*ours, *before));
  EXPECT_EQ(save(GetParam().family, GetParam().table), as_the_tool_wrote);
  const auto live = kernel().read(GetParam().family, GetParam().table);
  TAILS_ASSERT_OK(live);
  EXPECT_TRUE(kernel::same_rules(*live, *ours));
  const auto decoded = decode(*live);
  TAILS_ASSERT_OK(decoded);
  EXPECT_TRUE(decoded->says_the_same(*table));
}

INSTANTIATE_TEST_SUITE_P(EveryTable, CodecLive,
                         testing::Values(Case{Family::kIpv4, "filter", kFilterV4}, Case{Family::kIpv4, "nat", kNatV4},
                                         Case{Family::kIpv4, "mangle", kMangleV4}, Case{Family::kIpv4, "raw", kRawV4},
                                         Case{Family::kIpv6, "filter", kFilterV6}, Case{Family::kIpv6, "nat", kNatV6},
                                         Case{Family::kIpv6, "mangle", kMangleV6}));

class ForeignLive : public LiveTest {};

TEST_F(ForeignLive, WhatIsNotModelledIsOpaqueAndComesOutWithTheSameBytes) {
  ASSERT_NO_FATAL_FAILURE(restore(Family::kIpv4, kForeignV4));
  const auto raw = kernel().read(Family::kIpv4, "filter");
  TAILS_ASSERT_OK(raw);
  EXPECT_EQ(expect_same_bytes(*raw), raw->entry_count());
}

}  // namespace
}  // namespace tails::iptc
