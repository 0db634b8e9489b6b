// `apply` switches between two profiles again and again while programs send: what both forbid never gets onto the wire,
// what both allow is never interrupted. TAILS_SWITCHES=1000 for the long form.

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <thread>

#include "policy/lower.h"
#include "ruleset/evaluator.h"
#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/shared_memory.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/harness/wire.h"
#include "tests/kernel/private_machine.h"
#include "tests/kernel/traffic.h"

namespace tails::testbed {
namespace {

using std::chrono::milliseconds;

constexpr Port kStreamPort{443};

/// What the processes of a test share.
struct Shared {
  std::array<std::atomic<uint64_t>, 4> attempts{};
  std::atomic<uint64_t> streamed{0};
  std::atomic<bool> shall_end{false};
};

const std::array<Attempt, 4> kSenders = {{
    {"TCP past Tor", uid::kAmnesia, protocol::kTcp, {kOtherInternet, Port{80}}, "eth0"},
    {"DNS past Tor", uid::kAmnesia, protocol::kUdp, {kInternet, Port{53}}, "eth0"},
    {"LAN DNS of a stranger", uid::kStranger, protocol::kUdp, {kLanResolver, Port{53}}, "eth1"},
    {"TCP by IPv6", uid::kAmnesia, protocol::kTcp, {kInternetV6, Port{443}}, "eth0"},
}};

/// What both profiles allow.
const Attempt kStream{"the stream", uid::kTor, protocol::kTcp, {kInternet, kStreamPort}};

class Switching : public PrivateMachine {
 protected:
  void SetUp() override {
    PrivateMachine::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    auto tails = profile("tails");
    TAILS_ASSERT_OK(tails);
    auto classic = profile("tails-classic");
    TAILS_ASSERT_OK(classic);
    policies_.push_back(std::move(*tails));
    policies_.push_back(std::move(*classic));
    auto built = Testbed::build(guests_of(policies_.front()));
    TAILS_ASSERT_OK(built);
    bed_ = std::make_unique<Testbed>(std::move(*built));
  }

  void apply(const std::string& name) {
    const Inside inside(bed_->host);
    const auto done = run_checked(
        {.arguments = {TAILS_IPTC_PROGRAM, "-q", "--user-map", std::string(kAccounts), "--policy", name, "apply"}});
    TAILS_ASSERT_OK(done);
  }

  /// Whose packets these are, by name; "other" where nobody's. The stream's are left out.
  void count(const std::vector<Frame>& frames, std::map<std::string, size_t>& seen) const {
    for (const Frame& frame : frames) {
      const auto packet = dissect(frame.bytes);
      if (packet && is_of(kStream, *packet)) continue;
      const auto* const sender =
          std::ranges::find_if(kSenders, [&](const Attempt& attempt) { return packet && is_of(attempt, *packet); });
      ++seen[sender == kSenders.end() ? "other" : sender->name];
    }
  }

  std::vector<policy::Policy> policies_;
  std::unique_ptr<Testbed> bed_;
};

TEST_F(Switching, TheSendersAreForbiddenByBothProfilesAndTheStreamAllowed) {
  for (const policy::Policy& policy : policies_) {
    const ruleset::RuleSet rules = policy::lower(policy);
    const ruleset::Evaluator evaluator(rules);
    Packet packet;
    packet.state = ConnState::kNew;
    for (const Attempt& spec : kSenders) {
      packet.source = spec.to.address.family == Family::kIpv6      ? kHostV6
                      : std::string_view(spec.leaves_by) == "eth1" ? kHostLan
                                                                   : kHostInternet;
      packet.destination = spec.to.address;
      packet.protocol = spec.protocol;
      packet.source_port = Port{40000};
      packet.destination_port = spec.to.port;
      packet.tcp_flags = tcp_flag::kSyn;
      packet.uid = spec.user;
      packet.gid = Gid{spec.user.value};
      packet.out = *InterfaceName::make(spec.leaves_by);
      const Verdict verdict = evaluator.evaluate(packet).verdict;
      EXPECT_TRUE(verdict == Verdict::kDrop || verdict == Verdict::kReject) << policy.name << ", " << spec.name;
    }
    packet.source = kHostInternet;
    packet.destination = kInternet;
    packet.protocol = protocol::kTcp;
    packet.destination_port = kStreamPort;
    packet.uid = uid::kTor;
    packet.gid = Gid{uid::kTor.value};
    packet.out = *InterfaceName::make("eth0");
    EXPECT_EQ(evaluator.evaluate(packet).verdict, Verdict::kAccept) << policy.name;
  }
}

TEST_F(Switching, NothingThatBothProfilesForbidGetsOutAndNoFlowThatBothAllowIsLost) {
  const char* const wanted = std::getenv("TAILS_SWITCHES");
  const int switches = wanted == nullptr ? 100 : std::atoi(wanted);
  const SharedMemory<Shared> shared;
  auto wire = Wire::watch(bed_->outside);
  TAILS_ASSERT_OK(wire);

  std::optional<InBackground> server;
  {
    const Inside inside(bed_->outside);
    auto listener = listen_tcp({kInternet, kStreamPort});
    TAILS_ASSERT_OK(listener);
    auto started = InBackground::start(Uid{0}, [&] { return echo(listener->get()); });
    TAILS_ASSERT_OK(started);
    server.emplace(std::move(*started));
  }
  const Inside inside(bed_->host);
  std::vector<InBackground> senders;
  for (size_t i = 0; i < kSenders.size(); ++i) {
    auto sender = InBackground::start(
        kSenders[i].user, [&, i] { return try_again_and_again(kSenders[i], shared->attempts[i], shared->shall_end); });
    TAILS_ASSERT_OK(sender);
    senders.push_back(std::move(*sender));
  }

  // As long as there are no rules, each of them is seen: the senders send and the wire is watched.
  std::map<std::string, size_t> before;
  for (int i = 0; i < 6000 && before.size() < kSenders.size() + before.count("other"); ++i) {
    std::this_thread::sleep_for(milliseconds(5));
    const auto frames = wire->drain();
    TAILS_ASSERT_OK(frames);
    count(*frames, before);
  }
  for (const Attempt& spec : kSenders) ASSERT_GT(before[spec.name], 0U) << spec.name;

  ASSERT_NO_FATAL_FAILURE(apply("tails-classic"));
  auto client = InBackground::start(uid::kTor, [&] { return stream(kStream.to, shared->streamed, shared->shall_end); });
  TAILS_ASSERT_OK(client);
  for (int i = 0; i < 6000 && shared->streamed == 0; ++i) std::this_thread::sleep_for(milliseconds(5));
  ASSERT_GT(shared->streamed, 0U);
  TAILS_ASSERT_OK(wire->drain());
  std::array<uint64_t, 4> first{};
  for (size_t i = 0; i < first.size(); ++i) first[i] = shared->attempts[i];
  const uint64_t streamed_first = shared->streamed;

  std::map<std::string, size_t> seen;
  for (int i = 0; i < switches; ++i) {
    ASSERT_NO_FATAL_FAILURE(apply(i % 2 == 0 ? "tails" : "tails-classic"));
    const auto frames = wire->drain();
    TAILS_ASSERT_OK(frames);
    count(*frames, seen);
    ASSERT_TRUE(seen.empty()) << seen.begin()->first << ": " << seen.begin()->second
                              << " packets on the wire in switch " << i + 1;
  }
  const uint64_t streamed = shared->streamed - streamed_first;
  std::printf("%d switches; attempts:", switches);
  for (size_t i = 0; i < first.size(); ++i) {
    const uint64_t attempts = shared->attempts[i] - first[i];
    std::printf(" %s %llu,", kSenders[i].name, static_cast<unsigned long long>(attempts));
    EXPECT_GT(attempts, static_cast<uint64_t>(switches)) << kSenders[i].name;
  }
  std::printf(" packets of theirs on the wire 0; streamed meanwhile %llu bytes each way\n",
              static_cast<unsigned long long>(streamed));
  EXPECT_GT(streamed, 0U);
  shared->shall_end = true;
  for (InBackground& sender : senders) {
    const auto answer = sender.finish();
    TAILS_ASSERT_OK(answer);
    EXPECT_EQ(*answer, "");
  }
  const auto sent = client->finish();
  TAILS_ASSERT_OK(sent);
  const auto received = server->finish();
  TAILS_ASSERT_OK(received);
  EXPECT_EQ(*sent, *received);
}

}  // namespace
}  // namespace tails::testbed
