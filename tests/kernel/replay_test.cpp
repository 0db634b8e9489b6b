// What a counterexample of the proof is worth: the packet is really sent, under the rules that it accuses.
#include "tests/kernel/harness/replay.h"

#include "policy/lower.h"
#include "tests/kernel/kernel_test.h"
#include "tests/kernel/profile.h"

namespace tails::testbed {
namespace {

class ReplayTest : public KernelTest {};

Packet tcp(const IpAddress& from, const IpAddress& to, Port port, Uid user, const char* out) {
  Packet packet;
  packet.source = from;
  packet.destination = to;
  packet.source_port = 40000;
  packet.destination_port = port;
  packet.tcp_flags = tcp_flag::kSyn;
  packet.uid = user;
  packet.out = *InterfaceName::make(out);
  return packet;
}

TEST_F(ReplayTest, TellsGotThroughRefusedAndDroppedApart) {
  const Packet web = tcp(kHostInternet, kInternet, 80, uid::kTor, "eth0");
  auto replayer = Replayer::start({}, {web});
  TAILS_ASSERT_OK(replayer);
  for (const auto& [target, fate] :
       {std::pair("ACCEPT", Fate::kGotThrough), std::pair("DROP", Fate::kDropped), std::pair("REJECT", Fate::kRefused),
        std::pair("REJECT --reject-with tcp-reset", Fate::kRefused)}) {
    TAILS_ASSERT_OK(replayer->load_text(
        Family::kIpv4,
        std::string("*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n-A OUTPUT -p tcp --dport 80 -j ") +
            target + "\nCOMMIT\n"));
    const auto replay = replayer->replay(web);
    TAILS_ASSERT_OK(replay);
    EXPECT_EQ(to_string(replay->fate), to_string(fate)) << target;
    EXPECT_TRUE(replay->is_as_meant) << describe(replay->seen);
    EXPECT_EQ(replay->is_on_cable, fate == Fate::kGotThrough);
  }
}

TEST_F(ReplayTest, FindsTheLeakOfAMutatedProfile) {
  const auto policy = profile("tails");
  TAILS_ASSERT_OK(policy);
  ruleset::RuleSet rules = policy::lower(*policy);
  // A stranger's packet by an interface that no testbed has of itself, in a flow that is not his.
  Packet stolen = tcp(IpAddress::v4(198, 18, 0, 10), kOtherInternet, 53, uid::kStranger, "wlan0");
  stolen.protocol = protocol::kUdp;
  stolen.tcp_flags = 0;
  stolen.state = ConnState::kEstablished;
  auto replayer = Replayer::start(guests_of(*policy), {stolen});
  TAILS_ASSERT_OK(replayer);

  TAILS_ASSERT_OK(replayer->load(rules));
  auto replay = replayer->replay(stolen);
  TAILS_ASSERT_OK(replay);
  EXPECT_TRUE(replay->is_as_meant) << describe(replay->seen);
  EXPECT_EQ(to_string(replay->fate), "refused");
  EXPECT_FALSE(replay->is_on_cable);

  // As the public rules had it: whatever is ESTABLISHED passes, whoever sends it.
  ruleset::Rule established;
  established.matches.emplace_back(ruleset::StateMatch{ConnState::kEstablished, false});
  established.target = ruleset::Accept{};
  auto& output = rules.find(Family::kIpv4, ruleset::TableName::kFilter)->find("OUTPUT")->rules;
  output.insert(output.begin(), established);
  TAILS_ASSERT_OK(replayer->load(rules));
  replay = replayer->replay(stolen);
  TAILS_ASSERT_OK(replay);
  EXPECT_TRUE(replay->is_as_meant) << describe(replay->seen);
  EXPECT_EQ(to_string(replay->fate), "got through");
  EXPECT_TRUE(replay->is_on_cable);
}

TEST_F(ReplayTest, ReplaysForwardedAndIncomingPackets) {
  Packet passing = tcp(IpAddress::v4(10, 200, 1, 18), kOtherInternet, 443, uid::kRoot, "eth1");
  passing.uid.reset();
  passing.hook = Hook::kForward;
  passing.in = *InterfaceName::make("veth-clearnet");
  Packet coming = passing;
  coming.hook = Hook::kInput;
  coming.out = {};
  coming.destination = IpAddress::v4(198, 51, 100, 200);  // becomes the machine's own
  auto replayer = Replayer::start(tails_guests(), {passing, coming});
  TAILS_ASSERT_OK(replayer);
  for (const Packet& packet : {passing, coming}) {
    auto replay = replayer->replay(packet);
    TAILS_ASSERT_OK(replay);
    EXPECT_TRUE(replay->is_as_meant) << describe(replay->seen);
    EXPECT_EQ(to_string(replay->fate), "got through");
  }
  const auto policy = profile("tails");
  TAILS_ASSERT_OK(policy);
  TAILS_ASSERT_OK(replayer->load(policy::lower(*policy)));
  auto replay = replayer->replay(passing);
  TAILS_ASSERT_OK(replay);
  EXPECT_EQ(to_string(replay->fate), "got through");
  EXPECT_TRUE(replay->is_on_cable);
  replay = replayer->replay(coming);
  TAILS_ASSERT_OK(replay);
  EXPECT_EQ(to_string(replay->fate), "dropped");
}

TEST_F(ReplayTest, SaysSoWhenThereIsNoSuchPacket) {
  Packet martian = tcp(kLoopbackV4, kHostInternet, 80, uid::kRoot, "eth0");
  martian.hook = Hook::kInput;
  martian.in = *InterfaceName::make("eth0");
  martian.out = {};
  martian.uid.reset();
  auto replayer = Replayer::start({}, {martian});
  TAILS_ASSERT_OK(replayer);
  const auto replay = replayer->replay(martian);
  TAILS_ASSERT_OK(replay);
  EXPECT_EQ(to_string(replay->fate), "not made");
}

}  // namespace
}  // namespace tails::testbed
