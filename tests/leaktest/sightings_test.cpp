/// Whose a packet is that was seen.

#include "leaktest/sightings.h"

#include <gtest/gtest.h>

#include "leaktest/bed.h"

namespace tails::leaktest {
namespace {

Case tried(uint32_t id, unsigned round, const IpAddress& to, Expected expected) {
  Case attempt;
  attempt.id = id;
  attempt.uid = Uid{1000};
  attempt.user = "amnesia";
  attempt.target = attempt.arrives_at = {to, 443};
  attempt.source = {kHostInternet, 33000};
  attempt.round = round;
  attempt.expected = expected;
  return attempt;
}

Frame from_port(const IpAddress& to, Port port) {
  Frame frame;
  frame.protocol = protocol::kTcp;
  frame.source = kHostInternet;
  frame.destination = to;
  frame.source_port = port;
  frame.destination_port = 443;
  return frame;
}

// With many cases source ports come again in a later round, and a reset of the round before was a leak of the case that
// had its port then, or of "the kernel itself".
TEST(Sightings, WhatComesLateIsOfTheRoundBefore) {
  Plan plan;
  plan.cases = {tried(0, 0, kLanGateway, Expected::kPasses), tried(1, 1, kInternet, Expected::kStopped)};
  plan.rounds = 2;
  const policy::Policy policy;
  const Bed bed;
  Sightings sightings(policy, plan, bed);
  sightings.begin_round(0);
  sightings.see("outside", from_port(kLanGateway, 33000));
  sightings.begin_round(1);
  sightings.see("outside", from_port(kLanGateway, 33000));
  const Matrix matrix = std::move(sightings).judge();
  ASSERT_EQ(matrix.outcomes.size(), 2U);
  EXPECT_EQ(matrix.leaks() + matrix.broken(), 0U);
  EXPECT_FALSE(matrix.outcomes[1].seen.is_seen);
}

TEST(Sightings, WhatGoesElsewhereIsOfTheCaseThatHasThePort) {
  Plan plan;
  plan.cases = {tried(0, 0, kInternet, Expected::kPasses)};
  const policy::Policy policy;
  const Bed bed;
  Sightings sightings(policy, plan, bed);
  sightings.begin_round(0);
  sightings.see("outside", from_port(kForeign, 33000));
  EXPECT_EQ(std::move(sightings).judge().leaks(), 1U);
}

TEST(Sightings, WhatIsNobodysIsToldOnceForEachKind) {
  Plan plan;
  const policy::Policy policy;
  const Bed bed;
  Sightings sightings(policy, plan, bed);
  sightings.begin_round(0);
  for (int i = 0; i < 3; ++i) sightings.see("outside", from_port(kForeign, 61000));
  sightings.see("outside", from_port(kInternet, 61000));
  const Matrix matrix = std::move(sightings).judge();
  EXPECT_EQ(matrix.outcomes.size(), 2U);
  EXPECT_EQ(matrix.leaks(), 2U);
  EXPECT_EQ(matrix.packets, 4U);
}

}  // namespace
}  // namespace tails::leaktest
