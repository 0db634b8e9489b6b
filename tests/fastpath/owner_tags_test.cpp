#include "policy/lower_owner_tags.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "ruleset/text_writer.h"
#include "tests/policy/generators.h"

namespace tails::policy {
namespace {

TEST(OwnerTags, ClearsTheFieldFirstAndThenNamesEachOwnerOfTheTailsProfile) {
  ruleset::RuleSet rules;
  ASSERT_TRUE(add_owner_tags(testing::profile("tails"), rules));
  EXPECT_EQ(ruleset::write_save(rules, Family::kIpv4),
            "*mangle\n"
            ":PREROUTING ACCEPT [0:0]\n"
            ":INPUT ACCEPT [0:0]\n"
            ":FORWARD ACCEPT [0:0]\n"
            ":OUTPUT ACCEPT [0:0]\n"
            ":POSTROUTING ACCEPT [0:0]\n"
            "-A POSTROUTING ! -o lo -j DSCP --set-dscp 0x00\n"
            "-A POSTROUTING -s 10.200.1.18/32 ! -o lo -m owner ! --socket-exists -j DSCP --set-dscp 0x17\n"
            "-A POSTROUTING ! -o lo -m owner --uid-owner 107 -j DSCP --set-dscp 0x2d\n"
            "-A POSTROUTING ! -o lo -m owner --uid-owner 110 -j DSCP --set-dscp 0x30\n"
            "COMMIT\n");
}

TEST(OwnerTags, EachOwnerHasItsOwnAndNoneHasZero) {
  testing::Dice dice(testing::seed_or(7));
  for (int i = 0; i < 200; ++i) {
    const Policy policy = testing::random_policy(dice);
    const auto tags = owner_tags(policy);
    ASSERT_TRUE(tags);
    std::set<unsigned> numbers;
    for (const OwnerTag& tag : *tags) {
      EXPECT_TRUE(tag.tag >= 1 && tag.tag <= 63);
      EXPECT_TRUE(numbers.insert(tag.tag).second);
    }
  }
}

TEST(OwnerTags, SixtyThreeOwnersFitAndSixtyFourAreRefused) {
  Policy policy;
  for (uint32_t i = 0; i < 63; ++i)
    policy.direct.push_back({{"u" + std::to_string(i), Uid{1000 + i * 63}}, {}, true, false, true, {}});
  const auto tags = owner_tags(policy);
  ASSERT_TRUE(tags);
  EXPECT_EQ(tags->size(), 63U);
  policy.direct.push_back({{"one too many", Uid{5}}, {}, true, false, true, {}});
  EXPECT_EQ(owner_tags(policy).error().message,
            "the policy has 64 owners that the network must tell apart, and there are only 63 tags");
}

TEST(OwnerTags, AnEntryMoreLeavesTheOthersTheirNumbers) {
  Policy policy = testing::profile("tails");
  const auto before = *owner_tags(policy);
  policy.direct.insert(policy.direct.begin(), {{"new", Uid{2000}}, {}, true, false, true, {}});
  const auto after = *owner_tags(policy);
  for (const OwnerTag& tag : before) EXPECT_NE(std::ranges::find(after, tag), after.end()) << tag.name;
}

}  // namespace
}  // namespace tails::policy
