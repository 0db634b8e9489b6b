// What holds of every policy and every drop-in, and the shortest ones that would show otherwise. RC_PARAMS as in
// tests/ruleset/property_test.cpp.
#include <gtest/gtest.h>
// Behind gtest.h, which it needs.
#include <rapidcheck/gtest.h>

#include "policy/lower.h"
#include "tests/policy/drop_in_limits.h"
#include "tests/policy/generators.h"
#include "tests/policy/policy_texts.h"
#include "tests/policy/reading.h"

namespace tails::testing {
namespace {

constexpr int kPackets = 300;

policy::Policy accepted(policy::Reading reading) {
  if (!reading.policy) RC_FAIL(render(reading.diagnostics));
  return std::move(*reading.policy);
}

RC_GTEST_PROP(Properties, LoweredRulesSayWhatThePolicySays, ()) {
  const policy::Policy policy = accepted(read_text(*policy_texts()));
  const auto layout = *rc::gen::element(policy::Layout::kPlain, policy::Layout::kDispatch);
  const ruleset::RuleSet rules = policy::lower(policy, layout);
  const ruleset::Evaluator evaluator(rules);
  PacketGenerator packets(policy, *rc::gen::arbitrary<uint64_t>());
  for (int i = 0; i < kPackets; ++i) {
    if (const auto text = disagreement(policy, evaluator, packets.next())) RC_FAIL(*text);
  }
}

RC_GTEST_PROP(Properties, DropInsNeverWidenWhatTheyMayNot, ()) {
  const std::string text = *policy_texts();
  const policy::Policy base = accepted(read_text(text));
  const policy::Policy merged = accepted(read_with_drop_ins(text, {{"policy.d/more.toml", *drop_in_texts()}}));
  if (const auto setting = changed_setting(base, merged)) RC_FAIL("changed " + *setting);
  PacketGenerator packets(merged, *rc::gen::arbitrary<uint64_t>());
  for (int i = 0; i < kPackets; ++i) {
    if (const auto wider = widening(base, merged, packets.next())) RC_FAIL(*wider);
  }
}

RC_GTEST_PROP(Properties, DropInsThatReachForMoreAreRefused, ()) {
  const std::string text = *policy_texts();
  RC_ASSERT(!read_with_drop_ins(text, {{"policy.d/more.toml", *overreaching_texts()}}).policy);
}

/// The judge of the two above: a drop-in that did change the policy file's business would be seen.
TEST(DropInLimits, AreNoticedWhereTheyAreCrossed) {
  const policy::Policy base = profile("tails");
  policy::Policy wider = base;
  wider.lan.networks.push_back(*Prefix::make(IpAddress::v4(203, 0, 113, 0), 24));
  EXPECT_EQ(changed_setting(base, wider), "[lan]");
  PacketGenerator packets(wider, 1);
  int seen = 0;
  for (int i = 0; i < 20'000; ++i) seen += widening(base, wider, packets.next()) ? 1 : 0;
  EXPECT_GT(seen, 0);

  policy::Policy without_denial = base;
  for (policy::Service& service : without_denial.services) service.deny.clear();
  PacketGenerator more(base, 2);
  seen = 0;
  for (int i = 0; i < 200'000; ++i) seen += widening(base, without_denial, more.next()) ? 1 : 0;
  EXPECT_GT(seen, 0);
}

// 4,600 random drop-ins: a denial of some ports was held against a fragment that has none.
TEST(DropInLimits, OfALaterFragmentKnowNoPorts) {
  const auto service = [](std::string_view ports, std::string_view owners) {
    auto reading =
        read_text("schema = 1\n[users]\namnesia = 1000\n[[service]]\nname = \"one\"\nat = \"127.0.0.2\"\nports = [\"" +
                  std::string(ports) + "\"]\n" + std::string(owners));
    EXPECT_TRUE(reading.policy) << render(reading.diagnostics);
    return std::move(reading.policy).value_or(policy::Policy{});
  };
  const policy::Policy granted = service("udp", "allow = [\"amnesia\"]\n");
  Packet packet;
  packet.hook = Hook::kOutput;
  packet.out = kLoopbackInterface;
  packet.protocol = protocol::kUdp;
  packet.source = packet.destination = IpAddress::v4(127, 0, 0, 2);
  packet.source_port = 1024;
  packet.destination_port = 649;
  packet.uid = Uid{1000};
  packet.state = ConnState::kNew;
  const policy::Policy some = service("udp/1-1000", "allow = []\ndeny = [\"amnesia\"]\n");
  const policy::Policy all = service("udp", "allow = []\ndeny = [\"amnesia\"]\n");
  EXPECT_TRUE(widening(some, granted, packet));
  EXPECT_TRUE(widening(all, granted, packet));
  packet.later_fragment = true;
  EXPECT_FALSE(widening(some, granted, packet));
  EXPECT_TRUE(widening(all, granted, packet));
}

}  // namespace
}  // namespace tails::testing
