// What the other kernel tests stand on: that the harness sees what happens and calls it by its right name.
#include <net/if.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/drain_until.h"
#include "tests/kernel/harness/observer.h"
#include "tests/kernel/harness/program.h"
#include "tests/kernel/harness/rule_counters.h"
#include "tests/kernel/harness/sender.h"
#include "tests/kernel/harness/socketless.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/harness/testbed.h"
#include "tests/kernel/harness/wire.h"
#include "tests/kernel/kernel_test.h"

namespace tails::testbed {
namespace {

using Place = Sighting::Place;

constexpr Uid kSomeone{4711};

class Harness : public KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto built = Testbed::build({{"tbb", IpAddress::v4(10, 200, 1, 1)}});
    TAILS_ASSERT_OK(built);
    bed_.emplace(std::move(*built));
  }

  void load(const char* rules) {
    const Inside inside(bed_->host);
    const auto loaded =
        run_checked({.arguments = {"iptables-legacy-restore"}, .input = rules, .has_private_run = true});
    TAILS_ASSERT_OK(loaded);
  }

  std::optional<Testbed> bed_;
};

/// The sightings at one hook and place.
std::vector<Packet> at(const std::vector<Sighting>& all, Hook hook, Place place) {
  std::vector<Packet> packets;
  for (const Sighting& sighting : all) {
    if (sighting.packet.hook == hook && sighting.place == place) packets.push_back(sighting.packet);
  }
  return packets;
}

TEST_F(Harness, NamesOwnerStateAndInterfaceOfAPacketOnLoopback) {
  const Inside inside(bed_->host);
  auto observer = Observer::start(bed_->host, std::array{kSomeone});
  TAILS_ASSERT_OK(observer);
  const auto server = bind_udp({kLoopbackV4, 5000});
  TAILS_ASSERT_OK(server);
  {
    const SocketOwner owner(kSomeone);
    EXPECT_EQ(try_udp({kLoopbackV4, 5000}, {.from = Endpoint{kLoopbackV4, 6000}, .mark = Mark{99}}), 0);
  }
  const auto seen = observer->drain();
  TAILS_ASSERT_OK(seen);
  Packet expected;
  expected.protocol = protocol::kUdp;
  expected.source = expected.destination = kLoopbackV4;
  expected.source_port = 6000;
  expected.destination_port = 5000;
  expected.out = kLoopbackInterface;
  expected.uid = kSomeone;
  expected.gid = Gid{kSomeone.value};
  expected.mark = Mark{99};
  expected.source_type = expected.destination_type = AddressType::kLocal;
  EXPECT_THAT(at(*seen, Hook::kOutput, Place::kBefore), testing::ElementsAre(expected));
  EXPECT_EQ(at(*seen, Hook::kOutput, Place::kPassed).size(), 1U);
  EXPECT_EQ(at(*seen, Hook::kInput, Place::kBefore).size(), 1U);
  EXPECT_EQ(at(*seen, Hook::kInput, Place::kPassed).size(), 1U);
}

TEST_F(Harness, TellsRefusedPacketsItsIcmpAnswerAndTheRuleThatCounted) {
  const Inside inside(bed_->host);
  auto observer = Observer::start(bed_->host, {});
  TAILS_ASSERT_OK(observer);
  load(
      "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n:wall -\n"
      "-A OUTPUT -p tcp --dport 7 -j wall\n-A wall -j LOG\n-A wall -j REJECT\nCOMMIT\n");
  EXPECT_EQ(try_tcp({kInternet, 7}), ECONNREFUSED);
  const auto seen = observer->drain();
  TAILS_ASSERT_OK(seen);
  const auto before = at(*seen, Hook::kOutput, Place::kBefore);
  ASSERT_EQ(before.size(), 2U);
  EXPECT_TRUE(before[0].is_tcp_syn());
  EXPECT_EQ(before[0].out.view(), "eth0");
  EXPECT_EQ(before[0].uid, Uid{0});
  EXPECT_EQ(before[1].protocol, protocol::kIcmp);
  EXPECT_EQ(before[1].state, ConnState::kRelated);
  EXPECT_EQ(before[1].uid, std::nullopt);
  EXPECT_EQ(at(*seen, Hook::kOutput, Place::kPassed).size(), 1U);

  auto counters = RuleCounters::open(bed_->host);
  TAILS_ASSERT_OK(counters);
  const auto counts = counters->read(Family::kIpv4, ruleset::TableName::kFilter);
  TAILS_ASSERT_OK(counts);
  EXPECT_THAT(counts->at("wall"), testing::ElementsAre(1, 1, 0));
  EXPECT_EQ(counts->at("OUTPUT").front(), 1U);
}

TEST_F(Harness, ShowsTheRedirectAndRemembersItForTheFlow) {
  const Inside inside(bed_->host);
  auto observer = Observer::start(bed_->host, {});
  TAILS_ASSERT_OK(observer);
  load(
      "*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n"
      "-A OUTPUT -p udp -d 127.0.0.1 --dport 53 -j REDIRECT --to-ports 5353\nCOMMIT\n");
  const auto server = bind_udp({kLoopbackV4, 5353});
  TAILS_ASSERT_OK(server);
  const auto client = bind_udp({kLoopbackV4, 6000});
  TAILS_ASSERT_OK(client);
  ASSERT_EQ(send_to(client->get(), {kLoopbackV4, 53}, "question"), 0);
  const auto question = receive(server->get());
  ASSERT_TRUE(question.has_value());
  ASSERT_EQ(send_to(server->get(), question->from, "answer"), 0);
  const auto answer = receive(client->get());
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->from, (Endpoint{kLoopbackV4, 53}));
  ASSERT_EQ(send_to(client->get(), {kLoopbackV4, 53}, "again"), 0);

  const auto seen = observer->drain();
  TAILS_ASSERT_OK(seen);
  const auto before = at(*seen, Hook::kOutput, Place::kBefore);
  const auto passed = at(*seen, Hook::kOutput, Place::kPassed);
  ASSERT_EQ(before.size(), 3U);
  ASSERT_EQ(passed.size(), 3U);
  EXPECT_EQ(before[0].destination_port, 53);
  EXPECT_EQ(before[0].recorded_nat, std::nullopt);
  EXPECT_EQ(passed[0].destination_port, 5353);
  EXPECT_EQ(before[1].state, ConnState::kEstablished);
  EXPECT_EQ(before[1].direction, Direction::kReply);
  EXPECT_EQ(before[2].state, ConnState::kEstablished);
  EXPECT_EQ(before[2].direction, Direction::kOriginal);
  EXPECT_EQ(before[2].recorded_nat, (Endpoint{kLoopbackV4, 5353}));
  EXPECT_EQ(passed[2].destination_port, 5353);
}

TEST_F(Harness, NamesTheListenerAsOwnerOfItsSynAck) {
  const Inside inside(bed_->host);
  auto observer = Observer::start(bed_->host, std::array{kSomeone});
  TAILS_ASSERT_OK(observer);
  Result<Descriptor> listener = Descriptor();
  {
    const SocketOwner owner(kSomeone);
    listener = listen_tcp({kLoopbackV4, 5000});
  }
  TAILS_ASSERT_OK(listener);
  EXPECT_EQ(try_tcp({kLoopbackV4, 5000}), 0);
  const auto seen = observer->drain();
  TAILS_ASSERT_OK(seen);
  const auto before = at(*seen, Hook::kOutput, Place::kBefore);
  ASSERT_GE(before.size(), 2U);
  EXPECT_EQ(before[1].tcp_flags & tcp_flag::kSynMask, tcp_flag::kSyn | tcp_flag::kAck);
  EXPECT_EQ(before[1].uid, kSomeone);
}

TEST_F(Harness, MakesInvalidPacketsThatRulesCanStillRead) {
  const Inside inside(bed_->host);
  auto observer = Observer::start(bed_->host, {});
  TAILS_ASSERT_OK(observer);
  Packet packet;
  packet.source = kHostInternet;
  packet.destination = kInternet;
  packet.source_port = 1000;
  packet.destination_port = 443;
  packet.tcp_flags = tcp_flag::kSyn;
  EXPECT_EQ(send_raw(packet, {.lies_about_length = true}), 0);
  packet.protocol = protocol::kUdp;
  packet.tcp_flags = 0;
  EXPECT_EQ(send_raw(packet, {.lies_about_length = true}), 0);
  packet.later_fragment = true;
  packet.source_port = packet.destination_port = 0;
  EXPECT_EQ(send_raw(packet, {.payload = Bytes(16)}), 0);
  const auto seen = observer->drain();
  TAILS_ASSERT_OK(seen);
  const auto before = at(*seen, Hook::kOutput, Place::kBefore);
  ASSERT_EQ(before.size(), 3U);
  for (const Packet& one : before) EXPECT_EQ(one.state, ConnState::kInvalid);
  EXPECT_EQ(before[0].tcp_flags, tcp_flag::kSyn);
  EXPECT_EQ(before[0].destination_port, 443);
  EXPECT_EQ(before[1].destination_port, 443);
  EXPECT_TRUE(before[2].later_fragment);
}

TEST_F(Harness, MakesEveryStateOfTcpUdpAndIcmp) {
  const Inside inside(bed_->host);
  auto observer = Observer::start(bed_->host, {});
  TAILS_ASSERT_OK(observer);
  auto sender = Sender::start(*bed_);
  TAILS_ASSERT_OK(sender);
  Port port = 1000;
  using enum ConnState;
  using enum Direction;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const bool is_v4 = family == Family::kIpv4;
    for (const uint8_t number : {protocol::kTcp, protocol::kUdp, is_v4 ? protocol::kIcmp : protocol::kIcmpv6}) {
      for (const auto& [state, direction] :
           {std::pair(kNew, kOriginal), std::pair(kEstablished, kOriginal), std::pair(kEstablished, kReply),
            std::pair(kRelated, kOriginal), std::pair(kInvalid, kOriginal)}) {
        Packet packet;
        packet.source = is_v4 ? kHostInternet : kHostV6;
        packet.uid = kSomeone;
        packet.out = *InterfaceName::make("eth0");
        // A fresh one each time, where nobody answers.
        packet.destination = is_v4 ? IpAddress::v4(203, 0, 113, static_cast<uint8_t>(++port))
                                   : IpAddress::v6(0x20010db800ff0000, ++port);
        packet.protocol = number;
        packet.state = state;
        packet.direction = direction;
        if (packet.is_icmp()) {
          packet.icmp_type = is_v4 ? (direction == kReply ? 0 : 8) : (direction == kReply ? 129 : 128);
          if (state == kRelated || state == kInvalid) packet.icmp_type = is_v4 ? 3 : 1;
        } else {
          packet.source_port = packet.destination_port = port;
          if (number == protocol::kTcp) packet.tcp_flags = direction == kReply ? tcp_flag::kAck : tcp_flag::kSyn;
        }
        const auto sent = sender->send(packet);
        TAILS_ASSERT_OK(sent);
        const auto seen = observer->drain();
        TAILS_ASSERT_OK(seen);
        auto before = at(*seen, Hook::kOutput, Place::kBefore);
        std::erase_if(before, [&](const Packet& other) { return other.destination != packet.destination; });
        ASSERT_EQ(before.size(), 1U) << describe(packet);
        EXPECT_EQ(before[0].state, state) << describe(packet);
        EXPECT_EQ(before[0].direction, direction) << describe(packet);
        EXPECT_EQ(before[0].destination_port, packet.destination_port);
        EXPECT_EQ(before[0].tcp_flags, packet.tcp_flags);
      }
    }
  }
}

TEST_F(Harness, SendsAnyPacketWithoutASocket) {
  const Inside inside(bed_->host);
  auto observer = Observer::start(bed_->host, std::array{Uid{0}});
  TAILS_ASSERT_OK(observer);
  auto wire = Wire::watch(bed_->outside);
  TAILS_ASSERT_OK(wire);
  auto sender = SocketlessSender::start(*bed_, *wire);
  TAILS_ASSERT_OK(sender);
  Packet v4;
  v4.source = kHostInternet;
  v4.destination = kInternet;
  v4.source_port = 1000;
  v4.destination_port = 443;
  v4.tcp_flags = tcp_flag::kSyn;
  TAILS_ASSERT_OK(sender->send(compose(v4), *InterfaceName::make("eth0")));
  Packet v6 = v4;
  v6.source = v6.destination = kLoopbackV6;
  TAILS_ASSERT_OK(sender->send(compose(v6), kLoopbackInterface));

  const auto seen = observer->drain();
  TAILS_ASSERT_OK(seen);
  v4.out = *InterfaceName::make("eth0");
  v4.source_type = AddressType::kLocal;
  v6.out = kLoopbackInterface;
  v6.source_type = v6.destination_type = AddressType::kLocal;
  std::vector<Packet> ours;
  for (const Packet& packet : at(*seen, Hook::kOutput, Place::kBefore)) {
    if (packet.is_tcp_syn()) ours.push_back(packet);
  }
  EXPECT_THAT(ours, testing::ElementsAre(v4, v6));
  EXPECT_FALSE(ours.front().uid.has_value());
  // It is on the cable, with what the other end's answer made the kernel say.
  const auto has_syn = [](const std::vector<Frame>& frames) {
    return std::any_of(frames.begin(), frames.end(), [](const Frame& frame) {
      const auto packet = dissect(frame.bytes);
      return packet && packet->is_tcp_syn() && packet->destination == kInternet;
    });
  };
  const auto frames = drain_until([&] { return wire->drain(); }, has_syn);
  TAILS_ASSERT_OK(frames);
  EXPECT_TRUE(has_syn(*frames));
}

TEST_F(Harness, SeesOnTheWireWhatLeftAndOnlyThat) {
  const Inside inside(bed_->host);
  auto wire = Wire::watch(bed_->outside);
  TAILS_ASSERT_OK(wire);
  load("*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n-A OUTPUT -p udp --dport 9 -j DROP\nCOMMIT\n");
  EXPECT_EQ(try_udp({kOtherInternet, 9}), EPERM);
  EXPECT_EQ(try_udp({kOtherInternet, 10}), 0);
  EXPECT_EQ(try_udp({kOtherInternet, 10}, {.device = *InterfaceName::make("eth1")}), 0);
  const auto frames = drain_until([&] { return wire->drain(); }, [](const auto& all) { return all.size() >= 2; });
  TAILS_ASSERT_OK(frames);
  ASSERT_EQ(frames->size(), 2U);
  EXPECT_EQ((*frames)[0].interface.view(), "wire0");
  EXPECT_EQ((*frames)[1].interface.view(), "wire1");
  const auto packet = dissect((*frames)[0].bytes);
  ASSERT_TRUE(packet.has_value());
  EXPECT_EQ(packet->destination, kOtherInternet);
  EXPECT_EQ(packet->destination_port, 10);
}

TEST_F(Harness, InjectsPacketsIntoInputAndForward) {
  const Inside inside(bed_->host);
  auto observer = Observer::start(bed_->host, {});
  TAILS_ASSERT_OK(observer);
  auto wire = Wire::watch(bed_->guests.at("tbb"));
  TAILS_ASSERT_OK(wire);
  Packet packet;
  packet.source = IpAddress::v4(10, 200, 1, 2);
  packet.destination = IpAddress::v4(10, 200, 1, 1);
  packet.source_port = 1000;
  packet.destination_port = 443;
  packet.tcp_flags = tcp_flag::kSyn;
  const InterfaceName veth0 = *InterfaceName::make("veth0");
  TAILS_ASSERT_OK(wire->inject(veth0, compose(packet)));
  packet.destination = kInternet;
  TAILS_ASSERT_OK(wire->inject(veth0, compose(packet)));
  const auto seen = drain_until([&] { return observer->drain(); },
                                [](const auto& all) {
                                  return !at(all, Hook::kInput, Place::kBefore).empty() &&
                                         !at(all, Hook::kForward, Place::kBefore).empty();
                                });
  TAILS_ASSERT_OK(seen);
  const auto input = at(*seen, Hook::kInput, Place::kBefore);
  const auto forward = at(*seen, Hook::kForward, Place::kBefore);
  ASSERT_EQ(input.size(), 1U);
  EXPECT_EQ(input[0].in.view(), "veth-tbb");
  ASSERT_GE(forward.size(), 1U);
  EXPECT_EQ(forward[0].in.view(), "veth-tbb");
  EXPECT_EQ(forward[0].out.view(), "eth0");
}

TEST_F(Harness, RunsCodeAsAnotherUserWithoutCapabilities) {
  const Inside inside(bed_->host);
  const auto answer = as_user(kSomeone, [] {
    return std::to_string(::getuid()) + " " + errno_name(try_tcp({kLoopbackV4, 1})) + " " +
           (::socket(AF_INET, SOCK_RAW, 255) < 0 ? "no raw socket" : "raw socket");
  });
  TAILS_ASSERT_OK(answer);
  EXPECT_EQ(*answer, "4711 ECONNREFUSED no raw socket");
}

TEST_F(Harness, LeavesNoNamespaceBehindWhenItIsKilled) {
  const auto near = NetworkNamespace::create();
  TAILS_ASSERT_OK(near);
  std::array<int, 2> ready{};
  ASSERT_EQ(::pipe(ready.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    // Its far end lives in a namespace that only this process holds.
    const auto far = NetworkNamespace::create();
    const Inside inside(*near);
    const std::string peer = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(far->fd());
    const auto made = run_checked(
        {.arguments = {"ip", "link", "add", "name", "cable", "type", "veth", "peer", "name", "far", "netns", peer}});
    if (!made) ::_exit(1);
    if (::write(ready[1], "x", 1) == 1) ::pause();
    ::_exit(1);
  }
  ::close(ready[1]);
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ::close(ready[0]);
  const Inside inside(*near);
  EXPECT_NE(::if_nametoindex("cable"), 0U);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  // The kernel takes namespaces down behind our back, and their cables with them.
  for (int tries = 0; tries < 500 && ::if_nametoindex("cable") != 0; ++tries) ::usleep(10000);
  EXPECT_EQ(::if_nametoindex("cable"), 0U);
}

}  // namespace
}  // namespace tails::testbed
