#include "policy/coverage.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/policy/dice.h"

namespace tails::testing {
namespace {

using policy::Coverage;

TEST(Coverage, FindsAWiderRangeOfAnotherOwnerExactlyWhereThereIsOne) {
  Dice dice(seed_or(21));
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::pair<PortRange, size_t>> items(1 + dice.below(8));
    Coverage coverage;
    for (auto& [range, owner] : items) {
      range.first = static_cast<Port>(dice.below(6));
      range.last = static_cast<Port>(range.first + dice.below(4));
      owner = dice.below(3);
      coverage.add(range, owner);
    }
    coverage.seal();
    for (const auto& [asked, owner] : items) {
      bool expected = false;
      for (const auto& [range, other] : items) {
        expected |= other != owner && range.first <= asked.first && asked.last <= range.last;
      }
      const auto found = coverage.covering(asked, owner);
      ASSERT_EQ(found.has_value(), expected) << "round " << round;
      if (!found) continue;
      EXPECT_NE(found->owner, owner);
      EXPECT_TRUE(found->range.first <= asked.first && asked.last <= found->range.last);
    }
  }
}

TEST(Coverage, OfNothingCoversNothing) {
  Coverage coverage;
  coverage.seal();
  EXPECT_FALSE(coverage.covering(PortRange::one(1), 0));
}

}  // namespace
}  // namespace tails::testing
