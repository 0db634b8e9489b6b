// `apply` switches between two profiles again and again while programs send: what both forbid never gets onto the wire,
// what both allow is never interrupted. TAILS_SWITCHES=1000 for the long form.

#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

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
#include "tests/kernel/harness/program.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/harness/wire.h"
#include "tests/kernel/kernel_test.h"
#include "tests/kernel/profile.h"

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

class SharedMemory {
 public:
  SharedMemory()
      : place_(::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        shared_(new (place_) Shared) {}
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() { ::munmap(place_, sizeof(Shared)); }
  Shared* operator->() const { return shared_; }
  Shared& operator*() const { return *shared_; }

 private:
  void* place_;
  Shared* shared_;
};

/// A program that tries the same destination without pause.
struct SenderSpec {
  const char* name;
  Uid user;
  uint8_t protocol;
  Endpoint to;
  const char* leaves_by;
};

const std::array<SenderSpec, 4> kSenders = {{
    {"TCP past Tor", uid::kAmnesia, protocol::kTcp, {kOtherInternet, Port{80}}, "eth0"},
    {"DNS past Tor", uid::kAmnesia, protocol::kUdp, {kInternet, Port{53}}, "eth0"},
    {"LAN DNS of a stranger", uid::kStranger, protocol::kUdp, {kLanResolver, Port{53}}, "eth1"},
    {"TCP by IPv6", uid::kAmnesia, protocol::kTcp, {kInternetV6, Port{443}}, "eth0"},
}};

std::string send_without_pause(const SenderSpec& spec, std::atomic<uint64_t>& attempts, const std::atomic<bool>& end) {
  // Whoever switches is to get on, however few processors there are.
  if (::nice(10) < 0) return "nice";
  while (!end) {
    auto socket = open_socket(spec.to.address.family, spec.protocol == protocol::kTcp ? SOCK_STREAM : SOCK_DGRAM);
    if (!socket) return socket.error().message;
    if (spec.protocol == protocol::kTcp) {
      connect_tcp(socket->get(), spec.to, milliseconds(0));
    } else {
      send_to(socket->get(), spec.to, "question");
    }
    ++attempts;
  }
  return "";
}

/// FNV-1a.
uint64_t add_to_sum(uint64_t sum, std::string_view text) {
  for (const char c : text) sum = (sum ^ static_cast<uint8_t>(c)) * 0x100000001b3U;
  return sum;
}
constexpr uint64_t kEmptySum = 0xcbf29ce484222325U;

std::string receive_exactly(int socket, size_t length) {
  std::string text(length, '\0');
  size_t have = 0;
  while (have < length) {
    if (!wait_readable(socket, milliseconds(60'000))) return {};
    const ssize_t n = ::recv(socket, text.data() + have, length - have, 0);
    if (n <= 0) return {};
    have += static_cast<size_t>(n);
  }
  return text;
}

/// Sends and wants the same back, until the end. "BYTES SUM", or what went wrong.
std::string stream(const Endpoint& to, Shared& shared) {
  auto socket = open_socket(Family::kIpv4, SOCK_STREAM);
  if (!socket) return socket.error().message;
  if (const int problem = connect_tcp(socket->get(), to, milliseconds(5000)); problem != 0) {
    return "connect: " + errno_name(problem);
  }
  uint64_t sum = kEmptySum;
  uint64_t number = 1;
  while (!shared.shall_end) {
    std::string block(512, '\0');
    for (char& c : block) {
      number = number * 6364136223846793005U + 1442695040888963407U;
      c = static_cast<char>(number >> 56);
    }
    if (::send(socket->get(), block.data(), block.size(), MSG_NOSIGNAL) != 512) return "send failed";
    if (receive_exactly(socket->get(), block.size()) != block) return "the answer is cut or not what was sent";
    sum = add_to_sum(sum, block);
    shared.streamed += block.size();
    std::this_thread::sleep_for(milliseconds(1));
  }
  ::shutdown(socket->get(), SHUT_WR);
  return std::to_string(shared.streamed) + " " + std::to_string(sum);
}

/// One client; "BYTES SUM" of what it sent.
std::string echo(int listener) {
  if (!wait_readable(listener, milliseconds(60'000))) return "nobody came";
  const Descriptor client(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  uint64_t sum = kEmptySum;
  uint64_t bytes = 0;
  std::string part(4096, '\0');
  for (ssize_t n = 0; (n = ::recv(client.get(), part.data(), part.size(), 0)) > 0;) {
    const std::string_view got(part.data(), static_cast<size_t>(n));
    sum = add_to_sum(sum, got);
    bytes += got.size();
    ::send(client.get(), got.data(), got.size(), MSG_NOSIGNAL);
  }
  return std::to_string(bytes) + " " + std::to_string(sum);
}

/// Addresses, protocol and ports of a packet, as far as it has them.
struct Seen {
  uint8_t protocol = 0;
  Bytes destination;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
};

Seen look_at(const Bytes& packet) {
  const auto byte = [&](size_t at) { return at < packet.size() ? std::to_integer<uint8_t>(packet[at]) : uint8_t{0}; };
  const auto word = [&](size_t at) { return static_cast<uint16_t>(byte(at) << 8 | byte(at + 1)); };
  const bool is_v4 = byte(0) >> 4 == 4;
  const size_t transport = is_v4 ? size_t{4} * (byte(0) & 15U) : 40;
  const auto at = [&](size_t from, size_t length) {
    return from + length > packet.size() ? Bytes{}
                                         : Bytes(packet.begin() + static_cast<ptrdiff_t>(from),
                                                 packet.begin() + static_cast<ptrdiff_t>(from + length));
  };
  return {byte(is_v4 ? 9 : 6), is_v4 ? at(16, 4) : at(24, 16), word(transport), word(transport + 2)};
}

Bytes bytes_of(const IpAddress& address) {
  Packet packet;
  packet.destination = address;
  packet.source = address.family == Family::kIpv4 ? kHostInternet : kHostV6;
  packet.protocol = protocol::kUdp;
  return look_at(compose(packet)).destination;
}

class Switching : public KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(::mount("tmpfs", "/run", "tmpfs", 0, "mode=755"), 0);
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
      const Seen packet = look_at(frame.bytes);
      const auto* const sender = std::ranges::find_if(kSenders, [&](const SenderSpec& spec) {
        return packet.protocol == spec.protocol && packet.destination == bytes_of(spec.to.address) &&
               packet.destination_port == spec.to.port;
      });
      const bool is_stream = packet.protocol == protocol::kTcp && packet.destination == bytes_of(kInternet) &&
                             packet.destination_port == kStreamPort;
      if (!is_stream) ++seen[sender == kSenders.end() ? "other" : sender->name];
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
    for (const SenderSpec& spec : kSenders) {
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
  const SharedMemory shared;
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
        kSenders[i].user, [&, i] { return send_without_pause(kSenders[i], shared->attempts[i], shared->shall_end); });
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
  for (const SenderSpec& spec : kSenders) ASSERT_GT(before[spec.name], 0U) << spec.name;

  ASSERT_NO_FATAL_FAILURE(apply("tails-classic"));
  auto client = InBackground::start(uid::kTor, [&] { return stream({kInternet, kStreamPort}, *shared); });
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
