// What is seen of flows while they come and go, on the real kernel.
#include <algorithm>

#include "conntrack/watch.h"
#include "tests/conntrack/flow_fixture.h"
#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/flow_entry.h"

namespace tails::conntrack {
namespace {

using namespace tails::testbed;
using std::chrono::milliseconds;
using Kind = FlowWatch::Sight::Kind;

class Watch : public FlowTest {
 protected:
  static std::vector<FlowWatch::Sight> look(FlowWatch& watch, milliseconds patience = milliseconds(500)) {
    std::vector<FlowWatch::Sight> seen;
    const auto looked = watch.look(patience, [&](const FlowWatch::Sight& sight) { seen.push_back(sight); });
    EXPECT_TRUE(looked.has_value()) << looked.error().message;
    return seen;
  }
};

TEST_F(Watch, RaisesAnAlarmForWhatTheLiveRulesLetThroughAgainstThePolicy) {
  const Endpoint web{kInternet, 443};
  const Descriptor listener = listen_outside(web);
  auto watch = FlowWatch::open(rules_);
  TAILS_ASSERT_OK(watch);
  const Connection tor = connect(kTor, web, listener);
  const auto allowed = look(*watch);
  ASSERT_EQ(allowed.size(), 1U);
  EXPECT_EQ(allowed[0].kind, Kind::kOpened);
  EXPECT_EQ(allowed[0].opinion.owner, kTor);
  EXPECT_FALSE(allowed[0].is_alarm());

  const Connection amnesia = connect(kAmnesia, web, listener);
  const auto forbidden = look(*watch);
  ASSERT_EQ(forbidden.size(), 1U);
  EXPECT_TRUE(forbidden[0].is_alarm());
  EXPECT_EQ(forbidden[0].opinion.owner, kAmnesia);
  EXPECT_EQ(forbidden[0].flow.original.destination, web);
}

TEST_F(Watch, DoesNotAlarmForAFlowWhoseOwnerIsGoneAlready) {
  auto watch = FlowWatch::open(rules_);
  TAILS_ASSERT_OK(watch);
  {
    const SocketOwner as(kTor);
    EXPECT_EQ(try_udp({kInternet, 53}), 0);
  }
  const auto seen = look(*watch);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].opinion.judgement, Judgement::kUnknown);
  EXPECT_FALSE(seen[0].is_alarm());
}

TEST_F(Watch, SeesFlowsEndAndOfBothFamilies) {
  auto watch = FlowWatch::open(rules_);
  TAILS_ASSERT_OK(watch);
  TAILS_ASSERT_OK(insert_flow({.source = {kHostV6, 1000}, .destination = {kInternetV6, 443}}));
  const auto opened = look(*watch);
  ASSERT_EQ(opened.size(), 1U);
  EXPECT_TRUE(opened[0].is_alarm());
  TAILS_ASSERT_OK(flush_flows());
  const auto ended = look(*watch);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].kind, Kind::kEnded);
  EXPECT_EQ(ended[0].flow.original, opened[0].flow.original);
}

TEST_F(Watch, SaysThatNewsWereLostAndFindsTheAlarmsInTheTable) {
  constexpr int kTinyQueue = 4096;
  auto watch = FlowWatch::open(rules_, kTinyQueue);
  TAILS_ASSERT_OK(watch);
  constexpr Port kFirst = 2000;
  constexpr Port kCount = 500;
  for (Port port = kFirst; port < kFirst + kCount; ++port) {
    TAILS_ASSERT_OK(insert_flow({.source = {kHostV6, port}, .destination = {kInternetV6, 443}}));
  }
  const auto seen = look(*watch);
  EXPECT_EQ(std::ranges::count(seen, Kind::kLost, &FlowWatch::Sight::kind), 1);
  // Each alarm once, be it from the news or from the table.
  std::vector<Port> ports;
  for (const auto& sight : seen) {
    if (sight.is_alarm()) ports.push_back(sight.flow.original.source.port);
  }
  std::ranges::sort(ports);
  ASSERT_EQ(ports.size(), kCount);
  EXPECT_EQ(std::ranges::adjacent_find(ports), ports.end());
  EXPECT_TRUE(look(*watch, milliseconds(10)).empty());
}

TEST_F(Watch, ReturnsWhenNothingHappens) {
  auto watch = FlowWatch::open(rules_);
  TAILS_ASSERT_OK(watch);
  EXPECT_TRUE(look(*watch, milliseconds(1)).empty());
}

}  // namespace
}  // namespace tails::conntrack
