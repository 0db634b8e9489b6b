// What the filter on the wire does while it lives, and when it does not.
#include "tests/kernel/wire_filter.h"

#include <signal.h>
#include <sys/socket.h>

#include <fstream>
#include <map>
#include <thread>

#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/profile.h"

namespace tails::testbed {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

class WireFilterLife : public WireFilter {};

TEST_P(WireFilterLife, LetsNothingThroughOnceItIsDeadAndCountsBeforeThat) {
  ASSERT_NO_FATAL_FAILURE(apply());
  ASSERT_NO_FATAL_FAILURE(open_the_kernel());
  ASSERT_NO_FATAL_FAILURE(start_filter());
  const auto everyone_tries = [&] {
    const Inside inside(*machine_);
    for (const Uid user : {uid::kTor, uid::kClearnet, uid::kAmnesia}) {
      const SocketOwner owner(user);
      for (const IpAddress& to : {kInternet, kLanResolver}) {
        try_udp({to, 53});
        try_tcp({to, 80}, {}, milliseconds(20));
      }
    }
  };
  everyone_tries();
  EXPECT_FALSE(watch_until_silence().empty());
  const auto deadline = Clock::now() + kPatience;
  const std::string counted = "entry=\"[tor]\"";
  while (content(scratch_.path() + "/prometheus").find(counted) == std::string::npos && Clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_NE(content(scratch_.path() + "/prometheus").find(counted), std::string::npos);
  EXPECT_EQ(filter_->end(SIGKILL), 128 + SIGKILL);
  drain();
  everyone_tries();
  for (const Packet& packet : watch_until_silence()) ADD_FAILURE() << "got through a dead filter: " << describe(packet);
}

TEST_P(WireFilterLife, ANewPolicyUnderTrafficLosesNothingThatIsAllowedAndStopsWhatIsNoMore) {
  ASSERT_NO_FATAL_FAILURE(apply());
  ASSERT_NO_FATAL_FAILURE(open_the_kernel());
  ASSERT_NO_FATAL_FAILURE(start_filter());
  std::optional<Descriptor> server;
  {
    const Inside inside(*network_);
    auto made = bind_udp({kInternet, 53});
    TAILS_ASSERT_OK(made);
    server = std::move(*made);
    const int room = 8 << 20;
    ::setsockopt(server->get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  }
  const auto sender = [&](Uid user) {
    const Inside inside(*machine_);
    const SocketOwner owner(user);
    auto socket = open_socket(Family::kIpv4, SOCK_DGRAM);
    EXPECT_TRUE(socket);
    return std::move(*socket);
  };
  const Descriptor tor = sender(uid::kTor), clearnet = sender(uid::kClearnet);
  constexpr int kSwaps = 4, kBetween = 150;
  int sent = 0;
  const auto send_some = [&](int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_EQ(send_to(tor.get(), {kInternet, 53}, "t" + std::to_string(sent++)), 0);
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
  };
  std::map<std::string, int> heard;
  const auto hear_until = [&](const std::string& text) {
    while (heard[text] == 0) {
      const auto datagram = receive(server->get(), kPatience);
      if (!datagram) return;
      ++heard[datagram->text];
    }
  };
  send_some(kBetween);
  EXPECT_EQ(send_to(clearnet.get(), {kInternet, 53}, "c before"), 0);
  // What waits at a port when a policy comes is judged by that policy.
  hear_until("c before");
  const std::string grant =
      "[[direct]]                    # the Unsafe Browser's resolver and captive portal checks\n"
      "user = \"clearnet\"\nout = [\"tcp\", \"udp/53\"]\nlan_dns = true\n";
  for (int swap = 0; swap < kSwaps; ++swap) {
    ASSERT_NO_FATAL_FAILURE(write_policy("", swap % 2 == 0 ? grant : ""));
    filter_->signal(SIGHUP);
    // Traffic goes on while the policy is read, proved, compiled and swapped in.
    const auto in_force = [&] {
      const std::string said = content(err());
      int times = 0;
      for (size_t at = said.find("is in force"); at != std::string::npos; at = said.find("is in force", at + 1))
        ++times;
      return times;
    };
    const auto deadline = Clock::now() + 3 * kPatience;
    while (in_force() <= swap && Clock::now() < deadline) send_some(20);
    ASSERT_EQ(in_force(), swap + 1) << content(err());
    send_some(kBetween);
    const std::string word = swap % 2 == 0 ? "c revoked" : "c again" + std::to_string(swap);
    EXPECT_EQ(send_to(clearnet.get(), {kInternet, 53}, word), 0);
    if (swap % 2 != 0) hear_until(word);
  }
  while (const auto datagram = receive(server->get(), kSilence)) ++heard[datagram->text];
  int lost = 0;
  for (int i = 0; i < sent; ++i) lost += heard["t" + std::to_string(i)] == 1 ? 0 : 1;
  EXPECT_EQ(lost, 0) << "of " << sent;
  EXPECT_EQ(heard["c before"], 1);
  EXPECT_EQ(heard["c revoked"], 0);
  EXPECT_EQ(heard["c again1"], 1);
  EXPECT_EQ(heard["c again3"], 1);

  // A policy that cannot be read leaves the old one in force.
  std::ofstream(scratch_.path() + "/policy.toml") << "schema = 1\nnonsense";
  filter_->signal(SIGHUP);
  ASSERT_TRUE(wait_for_text(err(), "the policy stays as it was", *filter_));
  EXPECT_EQ(send_to(tor.get(), {kInternet, 53}, "still"), 0);
  const auto still = receive(server->get(), kPatience);
  EXPECT_TRUE(still && still->text == "still");
  EXPECT_EQ(filter_->end(SIGTERM), 0) << content(err());
  if (HasFailure()) ADD_FAILURE() << content(out());
}

TEST_P(WireFilterLife, TellsTheMachineWhatIsRejectedAndCountsByEntry) {
  ASSERT_NO_FATAL_FAILURE(apply());
  ASSERT_NO_FATAL_FAILURE(open_the_kernel());
  ASSERT_NO_FATAL_FAILURE(start_filter({"--reject"}));
  {
    const Inside inside(*machine_);
    const SocketOwner owner(uid::kAmnesia);
    EXPECT_EQ(errno_name(try_tcp({kInternet, 443}, {}, kPatience)), "ECONNREFUSED");
    EXPECT_EQ(errno_name(try_connected_udp({kInternet, 443}, {}, kPatience)), "ECONNREFUSED");
  }
  EXPECT_TRUE(watch_until_silence().empty());
  EXPECT_EQ(filter_->end(SIGTERM), 0) << content(err());
  const std::string said = content(out());
  EXPECT_NE(said.find("reject   [blocked]"), std::string::npos) << said;
}

INSTANTIATE_TEST_SUITE_P(AfPacket, WireFilterLife, ::testing::Values("af_packet"));
INSTANTIATE_TEST_SUITE_P(AfXdp, WireFilterLife, ::testing::Values("af_xdp"));

}  // namespace
}  // namespace tails::testbed
