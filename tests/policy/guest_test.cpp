// The rules inside a namespace, and lockdown, asked packet by packet.
#include <gtest/gtest.h>

#include <algorithm>

#include "policy/lower.h"
#include "ruleset/evaluator.h"
#include "tests/policy/generators.h"

namespace tails::testing {
namespace {

using namespace ruleset;

const policy::Namespace& named(const policy::Policy& policy, std::string_view name) {
  return *std::ranges::find(policy.namespaces, name, &policy::Namespace::name);
}

class Guest : public ::testing::Test {
 protected:
  /// A packet that opens a flow; by what interface follows from where it goes, as the routes inside say.
  static Packet to(const char* destination, Port port, const char* source, const char* out,
                   uint8_t number = protocol::kTcp) {
    Packet packet;
    packet.protocol = number;
    packet.source = *IpAddress::parse(source);
    packet.destination = *IpAddress::parse(destination);
    packet.destination_port = port;
    packet.tcp_flags = tcp_flag::kSyn;
    packet.out = *InterfaceName::make(out);
    packet.uid = Uid{1000};
    packet.gid = Gid{1000};
    return packet;
  }
  static Packet arriving(ConnState state, uint8_t number = protocol::kTcp) {
    Packet packet = to("10.200.1.2", 80, "10.200.1.1", "lo", number);
    packet.hook = Hook::kInput;
    packet.in = policy::kGuestInterface;
    packet.out = {};
    packet.state = state;
    packet.uid.reset();
    packet.gid.reset();
    return packet;
  }

  const policy::Policy policy_ = profile("tails");
  const RuleSet tbb_rules_ = policy::lower_guest(named(policy_, "tbb"));
  const RuleSet clearnet_rules_ = policy::lower_guest(named(policy_, "clearnet"));
  const Evaluator tbb_{tbb_rules_};
  const Evaluator clearnet_{clearnet_rules_};
};

TEST_F(Guest, TakesLocalhostToTheHostsServices) {
  // Redirected in OUTPUT, the packet still has "lo" as its output interface there.
  const Evaluation socks = tbb_.evaluate(to("127.0.0.1", 9050, "127.0.0.1", "lo"));
  EXPECT_EQ(socks.verdict, Verdict::kAccept);
  EXPECT_EQ(socks.redirected_to, (Endpoint{IpAddress::v4(10, 200, 1, 1), 9050}));
  EXPECT_EQ(tbb_.evaluate(to("127.0.0.1", 951, "127.0.0.1", "lo")).redirected_to,
            (Endpoint{IpAddress::v4(10, 200, 1, 1), 951}));
  EXPECT_FALSE(tbb_.evaluate(to("127.0.0.1", 9051, "127.0.0.1", "lo")).redirected_to);
  EXPECT_FALSE(clearnet_.evaluate(to("127.0.0.1", 9050, "127.0.0.1", "lo")).redirected_to);
}

TEST_F(Guest, WithoutInternetReachesNothingButItsServices) {
  EXPECT_EQ(tbb_.evaluate(to("10.200.1.1", 9050, "10.200.1.2", "veth0")).verdict, Verdict::kAccept);
  EXPECT_EQ(tbb_.evaluate(to("10.200.1.1", 9051, "10.200.1.2", "veth0")).verdict, Verdict::kReject);
  EXPECT_EQ(tbb_.evaluate(to("10.200.1.1", 9050, "10.200.1.2", "veth0", protocol::kUdp)).verdict, Verdict::kReject);
  EXPECT_EQ(tbb_.evaluate(to("203.0.113.9", 443, "10.200.1.2", "veth0")).verdict, Verdict::kReject);
}

TEST_F(Guest, WithInternetSendsWhatItLikesUnderItsOwnAddress) {
  EXPECT_EQ(clearnet_.evaluate(to("203.0.113.9", 443, "10.200.1.18", "veth0")).verdict, Verdict::kAccept);
  EXPECT_EQ(clearnet_.evaluate(to("203.0.113.9", 53, "10.200.1.18", "veth0", protocol::kUdp)).verdict,
            Verdict::kAccept);
}

TEST_F(Guest, NeverSendsUnderAnotherAddress) {
  EXPECT_EQ(tbb_.evaluate(to("10.200.1.1", 9050, "10.200.1.6", "veth0")).verdict, Verdict::kReject);
  EXPECT_EQ(clearnet_.evaluate(to("203.0.113.9", 443, "192.168.1.5", "veth0")).verdict, Verdict::kReject);
  EXPECT_EQ(clearnet_.evaluate(to("203.0.113.9", 443, "127.0.0.1", "veth0")).verdict, Verdict::kReject);
}

TEST_F(Guest, LetsInNothingButAnswersAndTheirErrors) {
  for (const Evaluator* guest : {&tbb_, &clearnet_}) {
    EXPECT_EQ(guest->evaluate(arriving(ConnState::kEstablished)).verdict, Verdict::kAccept);
    EXPECT_EQ(guest->evaluate(arriving(ConnState::kRelated, protocol::kIcmp)).verdict, Verdict::kAccept);
    EXPECT_EQ(guest->evaluate(arriving(ConnState::kRelated)).verdict, Verdict::kDrop);
    EXPECT_EQ(guest->evaluate(arriving(ConnState::kNew)).verdict, Verdict::kDrop);
    EXPECT_EQ(guest->evaluate(arriving(ConnState::kInvalid)).verdict, Verdict::kDrop);
    EXPECT_EQ(guest->evaluate(arriving(ConnState::kNew, protocol::kIcmp)).verdict, Verdict::kDrop);
  }
}

TEST_F(Guest, ForwardsNothing) {
  for (const Evaluator* guest : {&tbb_, &clearnet_}) {
    Packet packet = arriving(ConnState::kNew);
    packet.hook = Hook::kForward;
    packet.out = policy::kGuestInterface;
    EXPECT_EQ(guest->evaluate(packet).verdict, Verdict::kDrop);
  }
}

TEST_F(Guest, KeepsIpv6Inside) {
  for (const Evaluator* guest : {&tbb_, &clearnet_}) {
    EXPECT_EQ(guest->evaluate(to("::1", 80, "::1", "lo")).verdict, Verdict::kAccept);
    EXPECT_EQ(guest->evaluate(to("2001:db8::1", 80, "::1", "veth0")).verdict, Verdict::kReject);
    EXPECT_EQ(guest->evaluate(to("fe80::1", 80, "fe80::2", "veth0")).verdict, Verdict::kReject);
  }
}

TEST_F(Guest, HasItsRulesInTheMachine) {
  const Machine machine = policy::lower_machine(policy_);
  EXPECT_EQ(machine.guests.size(), 5U);
  EXPECT_EQ(machine.guests.at("tbb").tables.size(), 3U);
  for (size_t i = 0; i < machine.host.tables.size(); ++i) {
    EXPECT_TRUE(machine.host.tables[i].says_the_same(policy::lower(policy_).tables[i]));
  }
}

TEST(Lockdown, LeavesNothingButEstablishedOnLoopback) {
  const RuleSet rules = policy::lockdown();
  const Evaluator evaluator(rules);
  const policy::Policy policy = profile("tails");
  PacketGenerator generator(policy, seed_or(11));
  for (int i = 0; i < 50'000; ++i) {
    const Packet packet = generator.next();
    const bool is_loopback = packet.hook == Hook::kInput    ? packet.in.is_loopback()
                             : packet.hook == Hook::kOutput ? packet.out.is_loopback()
                                                            : false;
    const bool passes = is_loopback && packet.state == ConnState::kEstablished;
    const Evaluation evaluation = evaluator.evaluate(packet);
    ASSERT_EQ(evaluation.verdict, passes ? Verdict::kAccept : Verdict::kDrop) << describe(packet);
    ASSERT_FALSE(evaluation.redirected_to);
    ASSERT_EQ(evaluation.logged, Tristate::kNo);
  }
}

}  // namespace
}  // namespace tails::testing
