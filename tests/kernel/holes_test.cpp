// The fourteen holes of the public rules (docs/semantics.md). Each test sends what used to get through or got stuck:
// first under the old rule, as far as it can be shown with a few lines, so that the test is known to test the right
// thing; then under the profile `tails`, applied as users apply it.
#include <sys/socket.h>

#include <algorithm>
#include <sstream>
#include <string>

#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/replay.h"
#include "tests/kernel/harness/scratch_directory.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/harness/wire.h"
#include "tests/kernel/tails_machine.h"

namespace tails::testbed {
namespace {

using std::chrono::milliseconds;

constexpr IpAddress kTbbHost = IpAddress::v4(10, 200, 1, 1);
constexpr IpAddress kTbbGuest = IpAddress::v4(10, 200, 1, 2);

/// filter of IPv4 as the public rules began and ended, with `rules` for OUTPUT and FORWARD in between.
std::string public_filter(const std::string& rules) {
  return "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT DROP\n-A INPUT -m state --state ESTABLISHED -j ACCEPT\n"
         "-A INPUT -i lo -j ACCEPT\n-A OUTPUT -m state --state ESTABLISHED -j ACCEPT\n"
         "-A OUTPUT -o lo -p icmp -m state --state RELATED -j ACCEPT\n" +
         rules + "-A OUTPUT -j REJECT --reject-with icmp-port-unreachable\nCOMMIT\n";
}

class Holes : public TailsMachine {
 protected:
  void load_public(const std::string& rules, const char* restore = "iptables-legacy-restore") {
    const auto loaded = run_checked({.arguments = {restore}, .input = rules, .has_private_run = true});
    TAILS_ASSERT_OK(loaded);
  }

  /// What connect(2) says to that user.
  static std::string connects(Uid user, const Endpoint& to, const SocketOptions& options = {},
                              milliseconds patience = milliseconds(700)) {
    return as_user(user, [&] { return errno_name(try_tcp(to, options, patience)); }).value_or("failed");
  }
  static std::string sends(Uid user, const Endpoint& to, const SocketOptions& options = {}) {
    return as_user(user, [&] { return errno_name(try_udp(to, options)); }).value_or("failed");
  }

  /// How many packets to that destination came out of the cable since the last time.
  static size_t arrived(Wire& wire, const Endpoint& destination) {
    const auto frames = wire.drain();
    if (!frames) return 999;
    return static_cast<size_t>(std::ranges::count_if(*frames, [&](const Frame& frame) {
      const auto packet = dissect(frame.bytes);
      return packet && packet->destination == destination.address && packet->destination_port == destination.port;
    }));
  }
};

TEST_F(Holes, N01_LanDoesNotReachOurOwnServicesThroughLoopback) {
  const auto ssh = listen_tcp({IpAddress::v4(0), 22});
  TAILS_ASSERT_OK(ssh);
  load_public(public_filter("-A OUTPUT -d 10.0.0.0/8 -j ACCEPT\n-A OUTPUT -d 192.168.0.0/16 -j ACCEPT\n"));
  EXPECT_EQ(connects(uid::kStranger, {kHostLan, 22}), "0");
  EXPECT_EQ(connects(uid::kStranger, {kTbbHost, 22}), "0");
  apply("tails");
  EXPECT_EQ(connects(uid::kStranger, {kHostLan, 22}), "ECONNREFUSED");
  EXPECT_EQ(connects(uid::kStranger, {kTbbHost, 22}), "ECONNREFUSED");
}

TEST_F(Holes, N02_LoopbackAddressesNeverLeaveByACable) {
  auto wire = Wire::watch(bed_->outside);
  TAILS_ASSERT_OK(wire);
  const SocketOptions by_cable{.device = *InterfaceName::make("eth0"), .from = {}, .mark = {}};
  const Endpoint loopback{kLoopbackV4, 8080};
  load_public(public_filter("-A OUTPUT ! -o lo -m owner --uid-owner 108 -j ACCEPT\n"));
  EXPECT_EQ(connects(uid::kClearnet, loopback, by_cable), "ETIMEDOUT");
  EXPECT_GE(arrived(*wire, loopback), 1U);
  apply("tails");
  EXPECT_EQ(connects(uid::kClearnet, loopback, by_cable), "ECONNREFUSED");
  EXPECT_EQ(sends(uid::kClearnet, {kLoopbackV4, 53}, by_cable), "EPERM");
  EXPECT_EQ(connects(uid::kTor, {IpAddress::v4(127, 192, 0, 1), 80}, by_cable), "ECONNREFUSED");
  const auto frames = wire->drain();
  TAILS_ASSERT_OK(frames);
  EXPECT_EQ(frames->size(), 0U);
}

TEST_F(Holes, N03_AFirstLoadThatFailsLeavesNothingOpen) {
  const ScratchDirectory scratch;
  const std::string broken = scratch.path() + "/policy.toml";
  const auto written = run_checked(
      {.arguments = {"sh", "-c", "printf 'schema = 1\\nname = \"x\"\\n[tor]\\nuser = \"amnesai\"\\n' > " + broken}});
  TAILS_ASSERT_OK(written);
  EXPECT_EQ(connects(uid::kStranger, {kInternet, 9}), "ECONNREFUSED");  // the far end says so: all is open
  auto wire = Wire::watch(bed_->outside);
  TAILS_ASSERT_OK(wire);
  const auto applied = tails_iptc({"--policy", broken, "apply", "--or-lockdown"});
  TAILS_ASSERT_OK(applied);
  EXPECT_EQ(applied->status, 4) << applied->err;
  for (const Uid user : {uid::kStranger, uid::kTor, uid::kRoot}) {
    EXPECT_EQ(connects(user, {kInternet, 9}), "ETIMEDOUT");
    EXPECT_EQ(connects(user, {kInternetV6, 9}), "ETIMEDOUT");
  }
  EXPECT_EQ(arrived(*wire, {kInternet, 9}), 0U);
  EXPECT_EQ(arrived(*wire, {kInternetV6, 9}), 0U);
}

/// Asks an echo service outside from the guest `clearnet`, one question after the other; answers how many of how many
/// were lost, and how many came out of the machine with the guest's own address.
std::string ask_from_guest(const Testbed& bed, int questions) {
  Result<Descriptor> server = Descriptor(), client = Descriptor();
  {
    const Inside inside(bed.outside);
    server = bind_udp({kInternet, 4242});
  }
  const Inside inside(bed.guests.at("clearnet"));
  client = open_socket(Family::kIpv4, SOCK_DGRAM);
  int lost = 0, unmasked = 0;
  for (int i = 0; i < questions; ++i) {
    send_to(client->get(), {kInternet, 4242}, "question");
    const auto question = receive(server->get(), milliseconds(1000));
    if (question) {
      unmasked += question->from.address == kHostInternet ? 0 : 1;
      send_to(server->get(), question->from, "answer");
    }
    lost += question && receive(client->get(), milliseconds(1000)) ? 0 : 1;
  }
  return std::to_string(lost) + " lost, " + std::to_string(unmasked) + " unmasked";
}

TEST_F(Holes, N04_ReloadingKeepsForwardingAndMasquerading) {
  apply("tails");
  EXPECT_EQ(ask_from_guest(*bed_, 1), "0 lost, 0 unmasked");
  // The public way: load the base rules, then let a script put back what they lack.
  load_public(public_filter(""));
  EXPECT_EQ(ask_from_guest(*bed_, 1), "1 lost, 0 unmasked");
  apply("tails");

  auto asking = InBackground::start(uid::kRoot, [this] { return ask_from_guest(*bed_, 1500); });
  TAILS_ASSERT_OK(asking);
  for (int i = 0; i < 8; ++i) {
    // Something to reload for.
    const auto drift = run_checked(
        {.arguments = {"iptables-legacy", "-A", "lan", "-m", "owner", "--uid-owner", "4711", "-j", "ACCEPT"},
         .has_private_run = true});
    TAILS_ASSERT_OK(drift);
    apply("tails");
  }
  const auto said = asking->finish();
  TAILS_ASSERT_OK(said);
  EXPECT_EQ(*said, "0 lost, 0 unmasked");
}

TEST_F(Holes, N05_TheClearnetGuestDoesNotReachOtherGuests) {
  Result<Descriptor> browser = Descriptor();
  {
    const Inside inside(bed_->guests.at("tbb"));
    browser = listen_tcp({IpAddress::v4(0), 80});
  }
  TAILS_ASSERT_OK(browser);
  const auto socks = listen_tcp({IpAddress::v4(0), 9050});
  TAILS_ASSERT_OK(socks);
  const auto from_clearnet = [this](const Endpoint& to) {
    const Inside inside(bed_->guests.at("clearnet"));
    return connects(uid::kAmnesia, to);
  };
  load_public(
      public_filter("-A FORWARD -i veth-clearnet -j ACCEPT\n-A FORWARD -m state --state ESTABLISHED -j ACCEPT\n"));
  EXPECT_EQ(from_clearnet({kTbbGuest, 80}), "0");
  apply("tails");
  EXPECT_EQ(from_clearnet({kTbbGuest, 80}), "ETIMEDOUT");
  EXPECT_EQ(from_clearnet({kTbbHost, 9050}), "ECONNREFUSED");
  EXPECT_EQ(from_clearnet({kHostLan, 9050}), "ETIMEDOUT");
}

TEST_F(Holes, N06_OnlyASynInStateNewOpensTcp) {
  inside_.reset();
  const auto packet = [](Uid user, uint8_t number, const IpAddress& to, Port port, uint8_t flags, ConnState state) {
    Packet made;
    made.protocol = number;
    made.source = kFarLan == to ? kHostLan : kHostInternet;
    made.destination = to;
    made.source_port = 40000;
    made.destination_port = port;
    made.tcp_flags = flags;
    made.uid = user;
    made.state = state;
    made.out = *InterfaceName::make(kFarLan == to ? "eth1" : "eth0");
    return made;
  };
  using enum ConnState;
  using namespace tcp_flag;
  const std::vector<Packet> packets = {
      packet(uid::kStranger, protocol::kTcp, kFarLan, 80, kSyn, kInvalid),
      packet(uid::kStranger, protocol::kTcp, kFarLan, 80, kAck, kNew),
      packet(uid::kStranger, protocol::kTcp, kFarLan, 80, kSyn, kRelated),
      packet(uid::kStranger, protocol::kUdp, kFarLan, 4000, 0, kRelated),
      packet(uid::kClearnet, protocol::kTcp, kInternet, 80, kAck, kNew),
      packet(uid::kClearnet, protocol::kTcp, kInternet, 80, kSyn, kInvalid),
      packet(uid::kTor, protocol::kUdp, kInternet, 53, 0, kInvalid),
      packet(uid::kTor, protocol::kUdp, kInternet, 53, 0, kRelated),
  };
  auto replayer = Replayer::start(tails_guests(), packets);
  TAILS_ASSERT_OK(replayer);
  TAILS_ASSERT_OK(replayer->load_text(
      Family::kIpv4, public_filter("-A OUTPUT -d 10.0.0.0/8 -j ACCEPT\n-A OUTPUT -m owner --uid-owner 108 -j ACCEPT\n"
                                   "-A OUTPUT -p udp --dport 53 -m owner --uid-owner 107 -j ACCEPT\n")));
  const auto fates = [&] {
    std::string all;
    for (const Packet& each : packets) {
      const auto replay = replayer->replay(each);
      all += replay && replay->is_as_meant ? to_string(replay->fate) + "\n" : "not as meant\n";
    }
    return all;
  };
  std::string all_through, all_refused;
  for (size_t i = 0; i < packets.size(); ++i) all_through += "got through\n", all_refused += "refused\n";
  EXPECT_EQ(fates(), all_through);

  const Inside inside(replayer->bed().host);
  apply("tails");
  // The kernel does not answer what it cannot make sense of, so those are told by the errno alone.
  std::string ours = fates();
  for (size_t at = 0; (at = ours.find("dropped")) != std::string::npos;) ours.replace(at, 7, "refused");
  EXPECT_EQ(ours, all_refused);
}

TEST_F(Holes, N07_TorItselfDoesNotReachLoopback) {
  const auto trans_port = listen_tcp({kLoopbackV4, 9040});
  TAILS_ASSERT_OK(trans_port);
  const auto control_port = listen_tcp({kLoopbackV4, 9052});
  TAILS_ASSERT_OK(control_port);
  const std::vector<Endpoint> places = {{kLoopbackV4, 9040}, {kLoopbackV4, 9052}, {IpAddress::v4(127, 192, 0, 10), 80}};
  load_public(public_filter("-A OUTPUT -p tcp --syn -m state --state NEW -m owner --uid-owner 107 -j ACCEPT\n") +
              "*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n"
              "-A OUTPUT -d 127.192.0.0/10 -p tcp -j REDIRECT --to-ports 9040\nCOMMIT\n");
  for (const Endpoint& place : places) EXPECT_EQ(connects(uid::kTor, place), "0");
  apply("tails");
  for (const Endpoint& place : places) EXPECT_EQ(connects(uid::kTor, place), "ECONNREFUSED");
}

/// iptables-save writes the time of day into its comments.
std::string without_comments(const std::string& text) {
  std::string rules;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with('#')) rules += line + "\n";
  }
  return rules;
}

TEST_F(Holes, N08_NoNameIsLookedUpOnTheWay) {
  // A machine whose services file knows no service.
  const auto without_services = [](const std::vector<std::string>& command, std::string_view input) {
    std::vector<std::string> wrapped = {
        "unshare", "--mount", "sh", "-c", "mount --bind /dev/null /etc/services && exec \"$@\"", "sh"};
    wrapped.insert(wrapped.end(), command.begin(), command.end());
    return run({.arguments = std::move(wrapped), .input = input, .has_private_run = true});
  };
  const std::string named = public_filter("-A OUTPUT -p udp --dport domain -j ACCEPT\n");
  const auto public_way = without_services({"iptables-legacy-restore"}, named);
  TAILS_ASSERT_OK(public_way);
  EXPECT_NE(public_way->status, 0);
  const auto ours =
      without_services({TAILS_IPTC_PROGRAM, "--user-map", std::string(kAccounts), "--policy", "tails", "apply"}, {});
  TAILS_ASSERT_OK(ours);
  EXPECT_EQ(ours->status, 0) << ours->err;
  EXPECT_EQ(sends(uid::kTor, {kLanResolver, 53}), "0");

  // A user that does not exist is noticed before anything is touched.
  const auto before = run_checked({.arguments = {"iptables-legacy-save"}, .has_private_run = true});
  const auto unknown =
      run({.arguments = {TAILS_IPTC_PROGRAM, "--policy", "tails-i2p", "apply"}, .has_private_run = true});
  TAILS_ASSERT_OK(unknown);
  EXPECT_EQ(unknown->status, 1) << unknown->err;
  const auto after = run_checked({.arguments = {"iptables-legacy-save"}, .has_private_run = true});
  EXPECT_EQ(without_comments(*before), without_comments(*after));
}

TEST_F(Holes, N09_DnsIsJudgedBehindItsRedirection) {
  const auto tor_dns = bind_udp({kLoopbackV4, 5353});
  TAILS_ASSERT_OK(tor_dns);
  const std::string redirect =
      "*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n"
      "-A OUTPUT -d 127.0.0.1 -p udp --dport 53 -j REDIRECT --to-ports 5353\nCOMMIT\n";
  load_public(public_filter("-A OUTPUT -o lo -d 127.0.0.1 -p udp --dport 53 -m owner --uid-owner 1000 -j ACCEPT\n") +
              redirect);
  EXPECT_EQ(sends(uid::kAmnesia, {kLoopbackV4, 53}), "EPERM");  // it looks granted, and is not
  apply("tails");
  EXPECT_EQ(sends(uid::kAmnesia, {kLoopbackV4, 53}), "0");
  EXPECT_TRUE(receive(tor_dns->get()).has_value());
  EXPECT_EQ(sends(uid::kApt, {kLoopbackV4, 53}), "EPERM");
  EXPECT_EQ(sends(uid::kApt, {kLoopbackV4, 5353}), "EPERM");
  EXPECT_FALSE(receive(tor_dns->get(), milliseconds(50)).has_value());

  // Redirected packets keep the interface that they were to leave by; the rules must not take them for loopback's.
  const auto trans_port = listen_tcp({IpAddress::v4(0), 9040});
  TAILS_ASSERT_OK(trans_port);
  const Endpoint onion{IpAddress::v4(127, 192, 0, 10), 80};
  EXPECT_EQ(connects(uid::kAmnesia, onion), "0");
  EXPECT_NE(connects(uid::kAmnesia, onion, {.device = *InterfaceName::make("eth0"), .from = {}, .mark = {}}), "0");
}

TEST_F(Holes, N10_TheHostNameDoesNotLeaveByNetbiosDatagrams) {
  auto wire = Wire::watch(bed_->outside);
  TAILS_ASSERT_OK(wire);
  const Endpoint datagrams{kLanNeighbour, 138};
  load_public(public_filter(
      "-A OUTPUT -d 192.168.0.0/16 -p udp --dport 137 -j REJECT\n-A OUTPUT -d 192.168.0.0/16 -j ACCEPT\n"));
  EXPECT_EQ(sends(uid::kStranger, datagrams), "0");
  EXPECT_EQ(arrived(*wire, datagrams), 1U);
  apply("tails");
  EXPECT_EQ(sends(uid::kStranger, datagrams), "EPERM");
  EXPECT_EQ(sends(uid::kRoot, {kLanNeighbour, 137}), "EPERM");
  EXPECT_EQ(sends(uid::kStranger, {kLanNeighbour, 139}), "0");
  EXPECT_EQ(arrived(*wire, datagrams), 0U);
}

TEST_F(Holes, N11_NobodyInheritsAnothersFlow) {
  Result<Descriptor> resolver = Descriptor();
  {
    const Inside inside(bed_->outside);
    resolver = bind_udp({kInternet, 53});
  }
  TAILS_ASSERT_OK(resolver);
  const Endpoint server{kInternet, 53};
  const Endpoint port{IpAddress::v4(0), 47000};
  // Tor asks and gets its answer; then somebody else binds the same port.
  const auto steal = [&]() -> std::string {
    const auto asked = sends(uid::kTor, server, {.device = {}, .from = port, .mark = {}});
    const auto question = receive(resolver->get());
    if (!question || send_to(resolver->get(), question->from, "answer") != 0) return "Tor was not heard: " + asked;
    return sends(uid::kStranger, server, {.device = {}, .from = port, .mark = {}});
  };
  load_public(public_filter("-A OUTPUT -p udp --dport 53 -m owner --uid-owner 107 -j ACCEPT\n"));
  EXPECT_EQ(steal(), "0");
  EXPECT_TRUE(receive(resolver->get()).has_value());
  apply("tails");
  EXPECT_EQ(steal(), "EPERM");
  EXPECT_FALSE(receive(resolver->get(), milliseconds(50)).has_value());
}

TEST_F(Holes, N11_NobodyReopensAnothersConnection) {
  inside_.reset();
  Packet syn;
  syn.source = kHostInternet;
  syn.destination = kInternet;
  syn.source_port = 40000;
  syn.destination_port = 443;
  syn.tcp_flags = tcp_flag::kSyn;
  syn.uid = uid::kStranger;
  syn.out = *InterfaceName::make("eth0");
  syn.state = ConnState::kEstablished;
  auto replayer = Replayer::start(tails_guests(), {syn});
  TAILS_ASSERT_OK(replayer);
  TAILS_ASSERT_OK(replayer->load_text(Family::kIpv4, public_filter("")));
  auto replay = replayer->replay(syn);
  TAILS_ASSERT_OK(replay);
  EXPECT_TRUE(replay->is_as_meant) << describe(replay->seen);
  EXPECT_EQ(to_string(replay->fate), "got through");
  const Inside inside(replayer->bed().host);
  apply("tails");
  replay = replayer->replay(syn);
  TAILS_ASSERT_OK(replay);
  EXPECT_TRUE(replay->is_as_meant) << describe(replay->seen);
  EXPECT_EQ(to_string(replay->fate), "refused");
}

TEST_F(Holes, N12_TheHostDoesNotReachItsGuests) {
  Result<Descriptor> service = Descriptor();
  {
    const Inside inside(bed_->guests.at("tbb"));
    service = listen_tcp({IpAddress::v4(0), 80});
  }
  TAILS_ASSERT_OK(service);
  load_public(public_filter("-A OUTPUT -d 10.0.0.0/8 -j ACCEPT\n"));
  EXPECT_EQ(connects(uid::kStranger, {kTbbGuest, 80}), "0");
  apply("tails");
  for (const Uid user : {uid::kStranger, uid::kAmnesia, uid::kClearnet, uid::kTor, uid::kRoot}) {
    EXPECT_EQ(connects(user, {kTbbGuest, 80}), "ECONNREFUSED");
  }
}

/// Sends so much from the guest `clearnet` that it takes full packets; answers how much arrived.
size_t upload_from_guest(const Testbed& bed, size_t size) {
  Result<Descriptor> listener = Descriptor(), client = Descriptor();
  {
    const Inside inside(bed.outside);
    listener = listen_tcp({kInternet, 8080});
  }
  const Inside inside(bed.guests.at("clearnet"));
  client = open_socket(Family::kIpv4, SOCK_STREAM);
  if (!listener || !client || connect_tcp(client->get(), {kInternet, 8080}, milliseconds(700)) != 0) return 0;
  const Descriptor server(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  const std::string data(size, 'x');
  if (::send(client->get(), data.data(), data.size(), 0) < 0) return 0;
  size_t arrived = 0;
  std::array<char, 65536> part{};
  while (arrived < size && wait_readable(server.get(), milliseconds(1500))) {
    const ssize_t n = ::recv(server.get(), part.data(), part.size(), 0);
    if (n <= 0) break;
    arrived += static_cast<size_t>(n);
  }
  return arrived;
}

TEST_F(Holes, N13_ASmallerUplinkDoesNotStallTheUnsafeBrowser) {
  const auto narrowed = run_checked({.arguments = {"ip", "link", "set", "eth0", "mtu", "1200"}});
  TAILS_ASSERT_OK(narrowed);
  {
    const Inside inside(bed_->guests.at("clearnet"));
    TAILS_ASSERT_OK(set_sysctl("net.ipv4.tcp_mtu_probing", "0"));  // or it would find out without being told
  }
  constexpr size_t kUpload = 30000;
  // The other end does not know of the narrow place: it would announce what fits and hide the matter.
  load_public(
      public_filter("-A FORWARD -i veth-clearnet -j ACCEPT\n-A FORWARD -m state --state ESTABLISHED -j ACCEPT\n") +
      "*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n"
      "-A POSTROUTING -s 10.200.1.16/30 -j MASQUERADE\nCOMMIT\n");
  EXPECT_LT(upload_from_guest(*bed_, kUpload), kUpload);
  apply("tails");
  EXPECT_EQ(upload_from_guest(*bed_, kUpload), kUpload);
}

TEST_F(Holes, N14_ARefusedConnectionToLoopbackOfIpv6DoesNotHang) {
  const Endpoint nobody{kLoopbackV6, 80};
  load_public(
      "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT DROP\n"
      "-A INPUT -s ::1 -d ::1 -i lo -p tcp -j ACCEPT\n-A OUTPUT -s ::1 -d ::1 -o lo -p tcp --dport 4101 -j ACCEPT\n"
      "-A OUTPUT -j REJECT --reject-with icmp6-port-unreachable\nCOMMIT\n",
      "ip6tables-legacy-restore");
  // The kernel hears the ICMPv6 answer to the first SYN too early, while connect(2) still holds the socket, and takes
  // the one to the second SYN, a second later (IPv4 is at once; Linux 6.18). Before, no answer ever came.
  constexpr milliseconds kSecondSyn{2500};
  EXPECT_EQ(connects(uid::kStranger, nobody, {}, kSecondSyn), "ETIMEDOUT");
  apply("tails");
  EXPECT_EQ(connects(uid::kStranger, nobody, {}, kSecondSyn), "ECONNREFUSED");
  // What is granted and has no listener: an ordinary reset.
  EXPECT_EQ(connects(uid::kGreeter, {kLoopbackV6, 4101}), "ECONNREFUSED");
}

}  // namespace
}  // namespace tails::testbed
