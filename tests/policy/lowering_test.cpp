// The rules say what the policy says: for random and boundary packets, under the profiles and under random policies.
#include <gtest/gtest.h>

#include <cstddef>

#include "policy/lower.h"
#include "tests/policy/generators.h"

namespace tails::testing {
namespace {

constexpr size_t kPacketsPerProfile = 1'000'000;
constexpr size_t kRandomPolicies = 200;
constexpr size_t kPacketsPerRandomPolicy = 20'000;

/// The first packet on which the rules of `policy` and the policy differ.
std::optional<std::string> first_disagreement(const policy::Policy& policy, const ruleset::RuleSet& rules,
                                              uint64_t seed, size_t packets) {
  const ruleset::Evaluator evaluator(rules);
  PacketGenerator generator(policy, seed);
  for (size_t i = 0; i < packets; ++i) {
    if (auto text = disagreement(policy, evaluator, generator.next())) return text;
  }
  return std::nullopt;
}

void expect_rules_say_the_policy(const policy::Policy& policy, uint64_t fallback_seed, size_t packets) {
  const uint64_t seed = seed_or(fallback_seed);
  const auto text = first_disagreement(policy, policy::lower(policy), seed, packets);
  EXPECT_FALSE(text) << *text << "\nTAILS_SEED=" << seed;
}

TEST(Lowering, SaysWhatTheTailsProfileSays) { expect_rules_say_the_policy(profile("tails"), 1, kPacketsPerProfile); }

TEST(Lowering, SaysWhatTheI2pProfileSays) { expect_rules_say_the_policy(profile("tails-i2p"), 2, kPacketsPerProfile); }

TEST(Lowering, SaysWhatTheI2pProfileSaysWithoutI2p) {
  expect_rules_say_the_policy(profile("tails-i2p", false), 3, kPacketsPerProfile / 4);
}

TEST(Lowering, SaysWhatTheClassicProfileSays) {
  expect_rules_say_the_policy(profile("tails-classic"), 4, kPacketsPerProfile);
}

TEST(Lowering, SaysWhatRandomPoliciesSay) {
  const uint64_t seed = seed_or(5);
  Dice dice(seed);
  for (size_t i = 0; i < tries(kRandomPolicies); ++i) {
    const policy::Policy policy = random_policy(dice);
    const auto text = first_disagreement(policy, policy::lower(policy), dice.bits(), kPacketsPerRandomPolicy);
    ASSERT_FALSE(text) << *text << "\nrandom policy " << i << ", TAILS_SEED=" << seed;
  }
}

}  // namespace
}  // namespace tails::testing
