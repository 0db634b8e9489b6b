// Entries in the layouts of other word sizes: computed, so that they can be tested on this machine. That the numbers
// are those of the kernel's headers is compiled in tests/iptc/other_words, and seen on a kernel in
// compat_live_test.cpp.
#include "iptc/kernel/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "iptc/decode.h"
#include "iptc/encode.h"
#include "iptc/kernel/image.h"
#include "policy/lower.h"
#include "ruleset/text_reader.h"
#include "tests/iptc/everything.h"
#include "tests/iptc/rule_cases.h"
#include "tests/iptc/states.h"

namespace tails::iptc {
namespace {

using kernel::Abi;
using kernel::kAmd64;
using kernel::kArm32;
using kernel::kI386;

struct Layout {
  std::string name;
  Abi abi;
};

class EveryLayout : public ::testing::TestWithParam<Layout> {
 protected:
  [[nodiscard]] Abi abi() const { return GetParam().abi; }
};

/// Every rule out of its bytes again, in entries that are multiples of the alignment.
void expect_round_trip(const ruleset::RuleSet& rules, Abi abi) {
  for (const ruleset::Table& table : rules.tables) {
    SCOPED_TRACE(to_string(table.name));
    const auto raw = encode(rules, table, Features::all(), abi);
    ASSERT_TRUE(raw) << raw.error().message;
    for (const kernel::RawChain& chain : raw->chains) {
      for (auto rest = raw->entries(chain); !rest.empty();) {
        const auto entry = kernel::view_entry(rest, table.family, abi);
        ASSERT_TRUE(entry);
        EXPECT_EQ(entry->bytes.size() % abi.u64_alignment, 0U);
        rest = rest.subspan(entry->bytes.size());
      }
    }
    const auto again = decode(*raw, abi);
    ASSERT_TRUE(again) << again.error().message;
    ruleset::Table sorted = table;
    std::ranges::stable_sort(sorted.chains, [](const ruleset::Chain& a, const ruleset::Chain& b) {
      return !a.is_builtin() && !b.is_builtin() ? a.name < b.name : a.is_builtin() > b.is_builtin();
    });
    EXPECT_TRUE(again->says_the_same(sorted));
  }
}

TEST_P(EveryLayout, KeepsEveryRule) {
  for (const char* const profile : {"tails", "tails-i2p", "tails-classic"}) {
    SCOPED_TRACE(profile);
    expect_round_trip(state(profile).rules, abi());
  }
  expect_round_trip(policy::lower(everything()), abi());
  for (const std::string_view text : {kFilterV4, kNatV4, kMangleV4, kRawV4}) {
    const auto rules = ruleset::read_save(text, Family::kIpv4, "case");
    ASSERT_TRUE(rules) << rules.error().message;
    expect_round_trip(*rules, abi());
  }
  for (const std::string_view text : {kFilterV6, kNatV6, kMangleV6}) {
    const auto rules = ruleset::read_save(text, Family::kIpv6, "case");
    ASSERT_TRUE(rules) << rules.error().message;
    expect_round_trip(*rules, abi());
  }
}

/// A table as a kernel makes it first: the policy of each chain and the end. Where pointers are shorter than the
/// alignment, the kernel's own standard targets say 36 and take 40.
kernel::Image first_table(Family family, Abi abi) {
  const kernel::EntryLayout at = kernel::entry_layout(family, abi);
  const size_t claimed = kernel::round_up(kernel::kExtensionHeader + 4, abi.pointer);
  kernel::Image image{family, "filter", 0b01110, {}, {}, {}};
  const auto add = [&](std::string_view name, size_t claims, size_t takes) {
    const size_t begin = image.entries.size();
    image.entries.resize(begin + at.size + takes);
    const auto entry = std::span(image.entries).subspan(begin);
    kernel::store<uint16_t>(entry, at.target_offset, static_cast<uint16_t>(at.size));
    kernel::store<uint16_t>(entry, at.next_offset, static_cast<uint16_t>(at.size + takes));
    const auto target = entry.subspan(at.size);
    kernel::store<uint16_t>(target, kernel::extension_at::kSize, static_cast<uint16_t>(claims));
    kernel::store_text(target, kernel::extension_at::kName, kernel::kExtensionNameSize, name);
    if (name.empty()) kernel::store<int32_t>(target, kernel::kExtensionHeader, kernel::verdict::kAccept);
    return static_cast<uint32_t>(begin);
  };
  for (const size_t hook : {1U, 2U, 3U}) {
    image.hook_entry.at(hook) = image.underflow.at(hook) = add("", claimed, kernel::standard_target_size(abi));
  }
  add("ERROR", kernel::error_target_size(abi), kernel::error_target_size(abi));
  return image;
}

TEST_P(EveryLayout, ReadsTheTableThatAKernelMakesFirst) {
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const auto raw = kernel::from_image(first_table(family, abi()), abi());
    ASSERT_TRUE(raw) << raw.error().message;
    ASSERT_EQ(raw->chains.size(), 3U);
    for (const kernel::RawChain& chain : raw->chains) {
      EXPECT_EQ(chain.policy, kernel::Policy::kAccept);
      EXPECT_EQ(chain.begin, chain.end);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Words, EveryLayout,
                         ::testing::Values(Layout{"amd64", kAmd64}, Layout{"i386", kI386}, Layout{"arm32", kArm32}),
                         [](const auto& parameter) { return parameter.param.name; });

TEST(Layouts, DifferWhereTheAlignmentOf64BitNumbersDoes) {
  // From struct ipt_entry, ip6t_entry and xt_rateinfo of the headers, by g++ -m64, -m32 and -mx32.
  EXPECT_EQ(kernel::entry_layout(Family::kIpv4, kAmd64).size, 112U);
  EXPECT_EQ(kernel::entry_layout(Family::kIpv4, kI386).size, 112U);
  EXPECT_EQ(kernel::entry_layout(Family::kIpv6, kAmd64).size, 168U);
  EXPECT_EQ(kernel::entry_layout(Family::kIpv6, kI386).size, 164U);
  EXPECT_EQ(kernel::entry_layout(Family::kIpv6, kArm32).size, 168U);
  EXPECT_EQ(kernel::standard_target_size(kAmd64), 40U);
  EXPECT_EQ(kernel::standard_target_size(kI386), 36U);
  EXPECT_EQ(kernel::standard_target_size(kArm32), 40U);
  EXPECT_EQ(kernel::payload::Limit::size(kAmd64), 40U);
  EXPECT_EQ(kernel::payload::Limit::size(kI386), 28U);
  EXPECT_EQ(kernel::payload::Limit::size(kArm32), 28U);
}

TEST(Layouts, OfOneWordSizeAreNotReadAsAnother) {
  EXPECT_FALSE(kernel::from_image(first_table(Family::kIpv6, kI386), kAmd64));
  EXPECT_FALSE(kernel::from_image(first_table(Family::kIpv4, kAmd64), kI386));
  // A gap behind a target is padding only where pointers are shorter than the alignment.
  kernel::Image image = first_table(Family::kIpv4, kAmd64);
  const auto at = kernel::entry_layout(Family::kIpv4, kAmd64);
  kernel::store<uint16_t>(std::span(image.entries).subspan(at.size), kernel::extension_at::kSize, 36);
  EXPECT_FALSE(kernel::from_image(image, kAmd64));
}

}  // namespace
}  // namespace tails::iptc
