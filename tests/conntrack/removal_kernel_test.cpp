// What removal does on the real kernel, in namespaces of its own.
#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "conntrack/removal.h"
#include "conntrack/sockets.h"
#include "conntrack/table.h"
#include "policy/lower.h"
#include "policy/read.h"
#include "ruleset/text_writer.h"
#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/flow_entry.h"
#include "tests/kernel/harness/program.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/harness/testbed.h"
#include "tests/kernel/kernel_test.h"
#include "tests/policy/fixed_environment.h"

namespace tails::conntrack {
namespace {

using namespace tails::testbed;
using std::chrono::milliseconds;

constexpr Uid kAmnesia{1000};
constexpr Uid kTor{107};
constexpr Uid kClearnet{110};

ruleset::RuleSet tails_rules() {
  tails::testing::FixedEnvironment environment;
  environment.users = tails::testing::profile_users();
  auto loaded = policy::load("tails", environment);
  EXPECT_TRUE(loaded.has_value());
  return policy::lower(loaded->policy);
}

class Removal : public KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    // Where IPv6 is a module, asking for a socket loads it; addresses and sysctls do not.
    const Descriptor load_ipv6(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    auto built = Testbed::build(tails_guests());
    TAILS_ASSERT_OK(built);
    bed_.emplace(std::move(*built));
    inside_.emplace(bed_->host);
    // Open, but tracked: conntrack works in a namespace only where a rule needs it.
    load_text(
        "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n-A OUTPUT -m state --state INVALID -j DROP\nCOMMIT\n"
        "*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n"
        "-A POSTROUTING -s 10.200.1.0/24 -j MASQUERADE\nCOMMIT\n");
    told_ = kernel_ends_sockets() ? ECONNABORTED : 0;
  }

  /// Whether this kernel has CONFIG_INET_DIAG_DESTROY. Debian's has; user-mode-linux has not, and there programs are
  /// cut off without being told.
  static bool kernel_ends_sockets() {
    const Descriptor victim = *bind_udp({kLoopbackV4, 39999});
    sockaddr_in peer{AF_INET, htons(9), {htonl(INADDR_LOOPBACK)}, {}};
    EXPECT_EQ(::connect(victim.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer), 0);
    std::vector<const Socket*> found;
    const auto sockets = SocketTable::read();
    sockets->connected({protocol::kUdp, {kLoopbackV4, 39999}, {kLoopbackV4, 9}, 0, 0, 0}, found);
    EXPECT_EQ(found.size(), 1U);
    return SocketDestroyer::open()->destroy(*found.at(0)) == SocketDestroyer::Outcome::kDestroyed;
  }

  void load_text(std::string_view rules, const char* tool = "iptables-legacy-restore") const {
    const auto loaded = run_checked({.arguments = {tool}, .input = rules, .has_private_run = true});
    TAILS_ASSERT_OK(loaded);
  }
  void load(const ruleset::RuleSet& rules) const {
    load_text(ruleset::write_save(rules, Family::kIpv4));
    load_text(ruleset::write_save(rules, Family::kIpv6), "ip6tables-legacy-restore");
  }

  /// A TCP connection as `owner` from the host, and its far end in `there`.
  struct Connection {
    Descriptor near;
    Descriptor far;
    [[nodiscard]] int error() const {
      int number = 0;
      socklen_t size = sizeof number;
      ::getsockopt(near.get(), SOL_SOCKET, SO_ERROR, &number, &size);
      return number;
    }
  };
  Connection connect(Uid owner, const Endpoint& to, const Descriptor& listener) {
    const SocketOwner as(owner);
    auto near = open_socket(to.address.family, SOCK_STREAM);
    EXPECT_TRUE(near.has_value());
    EXPECT_EQ(connect_tcp(near->get(), to, milliseconds(2000)), 0);
    EXPECT_TRUE(wait_readable(listener.get(), milliseconds(2000)));
    return {std::move(*near), Descriptor(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK))};
  }
  Descriptor listen_outside(const Endpoint& at) {
    const Inside outside(bed_->outside);
    auto listener = listen_tcp(at);
    EXPECT_TRUE(listener.has_value());
    return std::move(*listener);
  }
  /// A connected UDP socket that has sent something.
  Descriptor connected_udp(Uid owner, const Endpoint& to, const SocketOptions& options = {}) {
    const SocketOwner as(owner);
    auto socket = open_socket(to.address.family, SOCK_DGRAM, options);
    EXPECT_TRUE(socket.has_value());
    EXPECT_EQ(connect_tcp(socket->get(), to, milliseconds(100)), 0);
    EXPECT_EQ(::send(socket->get(), "x", 1, 0), 1);
    return std::move(*socket);
  }
  static bool passes(const Connection& connection) {
    if (::send(connection.near.get(), "ping", 4, MSG_NOSIGNAL) != 4) return false;
    if (!wait_readable(connection.far.get(), milliseconds(1000))) return false;
    char buffer[8];
    return ::recv(connection.far.get(), buffer, sizeof buffer, 0) == 4;
  }
  static std::vector<Flow> flows(const FlowFilter& filter = {}) {
    auto table = FlowTable::open();
    EXPECT_TRUE(table.has_value());
    std::vector<Flow> all;
    EXPECT_TRUE(table->for_each(filter, [&](const Flow& flow) { all.push_back(flow); }).has_value());
    return all;
  }
  static bool has_flow_to(const Endpoint& to) {
    for (const Flow& flow : flows()) {
      if (flow.original.destination == to) return true;
    }
    return false;
  }
  /// The error that the program's next call fails with, 0: it would wait.
  static int pending_error(const Descriptor& socket) {
    char byte = 0;
    if (::recv(socket.get(), &byte, 1, MSG_DONTWAIT) >= 0) return 0;
    return errno == EAGAIN ? 0 : errno;
  }
  static uint64_t sockets(const RemovalReport& report) { return report.sockets_ended + report.sockets_left; }
  static RemovalReport revoke(const ruleset::RuleSet& rules) {
    auto report = remove_revoked(rules);
    EXPECT_TRUE(report.has_value()) << report.error().message;
    return report.value_or(RemovalReport{});
  }

  std::optional<Testbed> bed_;
  std::optional<Inside> inside_;
  const ruleset::RuleSet rules_ = tails_rules();
  int told_ = 0;  ///< What a program gets whose socket was ended.
};

TEST_F(Removal, CutsARevokedTcpConnectionAndTellsItsProgram) {
  const Endpoint web{kInternet, 443};
  const Descriptor listener = listen_outside(web);
  const Connection amnesia = connect(kAmnesia, web, listener);
  const Connection tor = connect(kTor, web, listener);
  ASSERT_EQ(flows().size(), 2U);

  load(rules_);
  const RemovalReport report = revoke(rules_);
  EXPECT_EQ(report.seen, 2U);
  EXPECT_EQ(report.removed, 1U);
  EXPECT_EQ(sockets(report), 1U);
  EXPECT_EQ(amnesia.error(), told_);
  EXPECT_EQ(tor.error(), 0);
  EXPECT_TRUE(passes(tor));
  EXPECT_EQ(flows().size(), 1U);
}

TEST_F(Removal, SendsNothingOfARevokedConnectionAnyMore) {
  const Endpoint web{kInternet, 443};
  const Descriptor listener = listen_outside(web);
  const Connection amnesia = connect(kAmnesia, web, listener);
  load(rules_);
  (void)revoke(rules_);
  // Not even the reset of the aborted socket.
  EXPECT_FALSE(wait_readable(amnesia.far.get(), milliseconds(200)));
}

TEST_F(Removal, CutsARevokedUdpFlowAndTellsItsProgram) {
  const Endpoint server{kInternet, 4000};
  std::optional<Descriptor> far;
  {
    const Inside outside(bed_->outside);
    auto bound = bind_udp(server);
    TAILS_ASSERT_OK(bound);
    far.emplace(std::move(*bound));
  }
  const Descriptor socket = connected_udp(kAmnesia, server);
  ASSERT_TRUE(has_flow_to(server));
  load(rules_);
  const RemovalReport report = revoke(rules_);
  EXPECT_EQ(report.removed, 1U);
  EXPECT_EQ(sockets(report), 1U);
  EXPECT_EQ(pending_error(socket), told_);
  EXPECT_FALSE(has_flow_to(server));
}

TEST_F(Removal, RemovesAUdpFlowThatAnotherUsersSocketTookOver) {
  load(rules_);
  const Endpoint resolver{kLanResolver, 53};
  const Endpoint port{kHostLan, 40000};
  {
    const SocketOwner as(kTor);
    EXPECT_EQ(try_udp(resolver, {.from = port}), 0);
  }
  ASSERT_TRUE(has_flow_to(resolver));
  std::optional<Descriptor> heir;
  {
    const SocketOwner as(kAmnesia);
    auto socket = bind_udp(port);
    TAILS_ASSERT_OK(socket);
    heir.emplace(std::move(*socket));
  }
  const RemovalReport report = revoke(rules_);
  EXPECT_EQ(report.removed, 1U);
  EXPECT_FALSE(has_flow_to(resolver));
  // The heir keeps its socket: it has done nothing wrong yet.
  EXPECT_EQ(sockets(report), 0U);
}

TEST_F(Removal, LeavesAUdpFlowWithTheUserWhoMayHaveIt) {
  load(rules_);
  const Endpoint resolver{kLanResolver, 53};
  const Descriptor socket = connected_udp(kTor, resolver);
  EXPECT_EQ(revoke(rules_).removed, 0U);
  EXPECT_TRUE(has_flow_to(resolver));
}

TEST_F(Removal, EndsBothEndsOfARedirectedConnectionOnLoopbackAndNotTheListener) {
  load(rules_);
  auto listener = listen_tcp({kLoopbackV4, 9040});
  TAILS_ASSERT_OK(listener);
  const Endpoint onion{IpAddress::v4(127, 192, 0, 5), 80};
  const Connection allowed = connect(kAmnesia, onion, *listener);
  EXPECT_EQ(revoke(rules_).removed, 0U);
  EXPECT_TRUE(passes(allowed));

  const ruleset::RuleSet lockdown = policy::lockdown();
  load(lockdown);
  const RemovalReport report = revoke(lockdown);
  EXPECT_EQ(report.removed, 1U);
  EXPECT_EQ(sockets(report), 2U);
  EXPECT_EQ(allowed.error(), told_);
  EXPECT_EQ(pending_error(allowed.far), told_);

  load(rules_);
  EXPECT_TRUE(passes(connect(kAmnesia, onion, *listener)));
}

TEST_F(Removal, CutsAnInboundConnectionThatInputNoLongerAdmits) {
  auto listener = listen_tcp({kHostLan, 22});
  TAILS_ASSERT_OK(listener);
  std::optional<Descriptor> remote;
  {
    const Inside outside(bed_->outside);
    auto socket = open_socket(Family::kIpv4, SOCK_STREAM, {.from = Endpoint{kLanNeighbour, 0}});
    TAILS_ASSERT_OK(socket);
    ASSERT_EQ(connect_tcp(socket->get(), {kHostLan, 22}, milliseconds(2000)), 0);
    remote.emplace(std::move(*socket));
  }
  const Descriptor server(::accept4(listener->get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  load(rules_);
  const RemovalReport report = revoke(rules_);
  EXPECT_EQ(report.removed, 1U);
  EXPECT_EQ(sockets(report), 1U);
  EXPECT_EQ(pending_error(server), told_);
}

TEST_F(Removal, KeepsTheClearnetGuestsForwardedFlowAndCutsAnotherGuests) {
  const Endpoint web{kInternet, 443};
  const Descriptor listener = listen_outside(web);
  std::optional<Connection> clearnet;
  std::optional<Connection> tbb;
  {
    const Inside guest(bed_->guests.at("clearnet"));
    clearnet.emplace(connect(kAmnesia, web, listener));
  }
  {
    const Inside guest(bed_->guests.at("tbb"));
    tbb.emplace(connect(kAmnesia, web, listener));
  }
  ASSERT_TRUE(passes(*clearnet));
  ASSERT_TRUE(passes(*tbb));
  load(rules_);
  EXPECT_EQ(revoke(rules_).removed, 1U);
  EXPECT_TRUE(passes(*clearnet));
  EXPECT_FALSE(passes(*tbb));
}

TEST_F(Removal, TellsAProgramWhoseConnectionIsOlderThanConntrack) {
  const Endpoint web{kInternet, 443};
  const Descriptor listener = listen_outside(web);
  load_text("*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n");
  load_text("*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\nCOMMIT\n");
  const Connection tor = connect(kTor, web, listener);
  TAILS_ASSERT_OK(flush_flows());
  load(rules_);
  EXPECT_EQ(sockets(revoke(rules_)), 1U);
  EXPECT_EQ(tor.error(), told_);
}

TEST_F(Removal, NeverTakesANewConnectionForOneWithoutAnOwner) {
  load(rules_);
  const Endpoint web{kInternet, 443};
  const Descriptor listener = listen_outside(web);
  std::atomic<bool> stop = false;
  uint64_t removed = 0;
  std::thread remover([&] {
    const Inside host(bed_->host);
    while (!stop) {
      const auto report = remove_revoked(rules_);
      if (report) removed += sockets(*report);
    }
  });
  int broken = 0;
  for (int i = 0; i < 300; ++i) {
    const Connection connection = connect(kTor, web, listener);
    if (!passes(connection)) ++broken;
  }
  stop = true;
  remover.join();
  EXPECT_EQ(broken, 0);
  EXPECT_EQ(removed, 0U);
}

TEST_F(Removal, BySelectionRemovesJustThat) {
  for (uint8_t i = 1; i <= 20; ++i) {
    for (const uint8_t protocol : {protocol::kTcp, protocol::kUdp}) {
      TAILS_ASSERT_OK(insert_flow({.protocol = protocol,
                                   .source = {kHostInternet, static_cast<Port>(1000 + i)},
                                   .destination = {IpAddress::v4(203, 0, 113, i), 443}}));
    }
  }
  const IpAddress other_v6 = IpAddress::v6(kInternetV6.high, kInternetV6.low + 1);
  for (const IpAddress& to : {kInternetV6, other_v6}) {
    TAILS_ASSERT_OK(insert_flow({.source = {kHostV6, 1000}, .destination = {to, 443}}));
  }
  ASSERT_EQ(flows().size(), 42U);
  const auto remove = [](const Selection& selection) { return remove_flows(selection, {}).value().removed; };

  Selection one;
  one.filter.to = Prefix::parse("203.0.113.1");
  EXPECT_EQ(remove(one), 2U);
  one.filter.protocol = protocol::kUdp;
  one.filter.to = Prefix::parse("203.0.113.2");
  EXPECT_EQ(remove(one), 1U);
  Selection prefix;
  prefix.filter.to = Prefix::parse("203.0.113.8/29");
  EXPECT_EQ(remove(prefix), 16U);
  Selection protocol;
  protocol.filter.protocol = protocol::kUdp;
  EXPECT_EQ(remove(protocol), 10U);
  Selection v6;
  v6.filter.to = Prefix::parse("2001:db8:1::7");
  EXPECT_EQ(remove(v6), 1U);
  EXPECT_FALSE(has_flow_to({kInternetV6, 443}));
  EXPECT_TRUE(has_flow_to({other_v6, 443}));
  EXPECT_EQ(flows().size(), 12U);
  EXPECT_EQ(remove({}), 12U);
  EXPECT_TRUE(flows().empty());
}

TEST_F(Removal, OfOneAddressEndsTheSocketsThatTalkToIt) {
  const Endpoint web{kInternet, 443};
  const Endpoint other{kOtherInternet, 443};
  const Descriptor listener = listen_outside(web);
  const Descriptor other_listener = listen_outside(other);
  const Connection first = connect(kAmnesia, web, listener);
  const Connection second = connect(kAmnesia, other, other_listener);
  Selection selection;
  selection.filter.to = Prefix::host(kInternet);
  const auto report = remove_flows(selection, {});
  TAILS_ASSERT_OK(report);
  EXPECT_EQ(report->removed, 1U);
  EXPECT_EQ(sockets(*report), 1U);
  EXPECT_EQ(first.error(), told_);
  EXPECT_TRUE(passes(second));
}

TEST_F(Removal, OfAUserLeavesOtherUsersAlone) {
  const Endpoint web{kInternet, 443};
  const Descriptor listener = listen_outside(web);
  const Connection amnesia = connect(kAmnesia, web, listener);
  const Connection clearnet = connect(kClearnet, web, listener);
  Selection selection;
  selection.user = kClearnet;
  const auto report = remove_flows(selection, {});
  TAILS_ASSERT_OK(report);
  EXPECT_EQ(report->removed, 1U);
  EXPECT_EQ(clearnet.error(), told_);
  EXPECT_TRUE(passes(amnesia));
}

TEST_F(Removal, OfDeadSourcesFollowsAChangeOfAddress) {
  load(rules_);
  const Endpoint web{kInternet, 443};
  const Endpoint neighbour{kLanNeighbour, 80};
  const Descriptor listener = listen_outside(web);
  const Descriptor lan_listener = listen_outside(neighbour);
  const Connection by_uplink = connect(kTor, web, listener);
  const Connection by_lan = connect(kAmnesia, neighbour, lan_listener);
  std::optional<Connection> forwarded;
  {
    const Inside guest(bed_->guests.at("clearnet"));
    forwarded.emplace(connect(kAmnesia, neighbour, lan_listener));
  }
  ASSERT_EQ(flows().size(), 3U);

  for (const char* command :
       {"addr del 192.0.2.10/24 dev eth0", "addr add 192.0.2.66/24 dev eth0", "route replace default via 192.0.2.1"}) {
    std::vector<std::string> words = {"ip"};
    for (std::istringstream text(command); !text.eof();) text >> words.emplace_back();
    TAILS_ASSERT_OK(run_checked({.arguments = words}));
  }
  Selection dead;
  dead.dead = true;
  const auto report = remove_flows(dead, {});
  TAILS_ASSERT_OK(report);
  EXPECT_EQ(report->removed, 1U);
  EXPECT_EQ(by_uplink.error(), told_);
  EXPECT_FALSE(has_flow_to(web));
  EXPECT_TRUE(passes(by_lan));
  EXPECT_TRUE(passes(*forwarded));
}

TEST_F(Removal, MendsWhatAKilledRunLeftBehind) {
  const Endpoint web{kInternet, 443};
  const Descriptor listener = listen_outside(web);
  // Kills later and later, until a run gets to its end before.
  for (useconds_t delay_us = 0;; delay_us += 1000) {
    load_text("*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n-A OUTPUT -m state --state INVALID\nCOMMIT\n");
    std::vector<Connection> connections;
    for (int i = 0; i < 5; ++i) connections.push_back(connect(kAmnesia, web, listener));
    for (int i = 0; i < 1000; ++i) {
      TAILS_ASSERT_OK(insert_flow({.protocol = protocol::kUdp,
                                   .source = {kHostInternet, static_cast<Port>(2000 + i)},
                                   .destination = {kOtherInternet, 4000}}));
    }
    load(rules_);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(remove_revoked(rules_) ? 0 : 1);
    ::usleep(delay_us);
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    (void)revoke(rules_);
    ASSERT_TRUE(flows().empty()) << "killed after " << delay_us;
    for (const Connection& connection : connections)
      ASSERT_EQ(connection.error(), told_) << "killed after " << delay_us;
    if (WIFEXITED(status)) {
      ASSERT_EQ(WEXITSTATUS(status), 0);
      break;
    }
  }
}

TEST_F(Removal, WithoutTheCapabilitySaysSo) {
  const auto said = as_user(kAmnesia, [] {
    const auto table = FlowTable::open();
    return table ? std::string("it worked") : table.error().message + "|" + table.error().remedy;
  });
  TAILS_ASSERT_OK(said);
  EXPECT_EQ(*said, "cannot read the flow table: permission denied (EPERM)|Run as root, or with CAP_NET_ADMIN.");
}

TEST_F(Removal, ReachesFlowsInZones) {
  if (!run_checked({.arguments = {"iptables-legacy", "-t", "raw", "-A", "PREROUTING", "-j", "CT", "--zone", "1"},
                    .has_private_run = true})) {
    GTEST_SKIP() << "this kernel has no zones";
  }
  load_text(
      "*raw\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n"
      "-A OUTPUT -p udp --dport 4001 -j CT --zone 7\n"
      "-A OUTPUT -p udp --dport 4002 -j CT --zone-orig 8\nCOMMIT\n");
  for (const Port port : {Port{4000}, Port{4001}, Port{4002}}) EXPECT_EQ(try_udp({kInternet, port}), 0);
  ASSERT_EQ(flows().size(), 3U);
  FlowFilter zone;
  zone.zone = 7;
  const auto in_zone = flows(zone);
  ASSERT_EQ(in_zone.size(), 1U);
  EXPECT_EQ(in_zone[0].original.destination.port, 4001);
  load(rules_);
  EXPECT_EQ(revoke(rules_).removed, 3U);
  EXPECT_TRUE(flows().empty());
}

TEST_F(Removal, FindsAFlowByEitherDirection) {
  const Endpoint server{kInternet, 4000};
  const Descriptor socket = connected_udp(kTor, server);
  auto table = FlowTable::open();
  TAILS_ASSERT_OK(table);
  const FlowTuple there{protocol::kUdp, local_endpoint(socket.get()), server, 0, 0, 0};
  const FlowTuple back{protocol::kUdp, server, local_endpoint(socket.get()), 0, 0, 0};
  const auto found = table->find(there);
  TAILS_ASSERT_OK(found);
  ASSERT_TRUE(found->has_value());
  EXPECT_EQ((*found)->original, there);
  EXPECT_EQ(table->find(back).value(), *found);
  EXPECT_EQ(table->find({protocol::kUdp, server, server, 0, 0, 0}).value(), std::nullopt);
}

TEST_F(Removal, DoesNotHitALaterFlowWithTheSameTuple) {
  const FlowEntry entry{.protocol = protocol::kUdp, .source = {kHostInternet, 2000}, .destination = {kInternet, 4000}};
  TAILS_ASSERT_OK(insert_flow(entry));
  const std::vector<Flow> old = flows();
  TAILS_ASSERT_OK(flush_flows());
  // An identity is made of the tuple and of where the entry lies in memory: something else must lie there first.
  for (Port port = 3000; port < 3050; ++port) {
    TAILS_ASSERT_OK(insert_flow({.source = {kHostInternet, port}, .destination = {kInternet, 4000}}));
  }
  TAILS_ASSERT_OK(insert_flow(entry));
  ASSERT_TRUE(has_flow_to({kInternet, 4000}));
  auto table = FlowTable::open();
  TAILS_ASSERT_OK(table);
  const auto removed = table->remove(old);
  TAILS_ASSERT_OK(removed);
  EXPECT_EQ(removed->flows, 0U);
  EXPECT_EQ(removed->gone, 1U);
  EXPECT_EQ(flows().size(), 51U);
}

}  // namespace
}  // namespace tails::conntrack
