// What removal does on the real kernel, in namespaces of its own.
#include <sys/socket.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <sstream>
#include <thread>

#include "conntrack/removal.h"
#include "conntrack/sockets.h"
#include "conntrack/table.h"
#include "policy/lower.h"
#include "tests/conntrack/flow_fixture.h"
#include "tests/conntrack/without_ctnetlink.h"
#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/flow_entry.h"
#include "tests/kernel/harness/program.h"

namespace tails::conntrack {
namespace {

ruleset::RuleSet no_rules() { return {}; }

using namespace tails::testbed;
using std::chrono::milliseconds;

class Removal : public FlowTest {
 protected:
  static RemovalReport revoke(const ruleset::RuleSet& rules) {
    auto report = remove_revoked(rules);
    EXPECT_TRUE(report.has_value()) << report.error().message;
    return report.value_or(RemovalReport{});
  }
  /// Sockets that were to be ended.
  static uint64_t sockets(const RemovalReport& report) { return report.sockets_ended + report.sockets_left; }
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
  EXPECT_TRUE(tor.passes());
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
  EXPECT_TRUE(allowed.passes());

  const ruleset::RuleSet lockdown = policy::lockdown();
  load(lockdown);
  const RemovalReport report = revoke(lockdown);
  EXPECT_EQ(report.removed, 1U);
  EXPECT_EQ(sockets(report), 2U);
  EXPECT_EQ(allowed.error(), told_);
  EXPECT_EQ(pending_error(allowed.far), told_);

  load(rules_);
  EXPECT_TRUE(connect(kAmnesia, onion, *listener).passes());
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
  ASSERT_TRUE(clearnet->passes());
  ASSERT_TRUE(tbb->passes());
  load(rules_);
  EXPECT_EQ(revoke(rules_).removed, 1U);
  EXPECT_TRUE(clearnet->passes());
  EXPECT_FALSE(tbb->passes());
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
    if (!connection.passes()) ++broken;
  }
  stop = true;
  remover.join();
  EXPECT_EQ(broken, 0);
  EXPECT_EQ(removed, 0U);
}

TEST_F(Removal, LetsWhatAClosedSocketStillHasToSendArrive) {
  load(rules_);
  const Endpoint web{kInternet, 443};
  const Descriptor listener = listen_outside(web);
  Connection connection = connect(kTor, web, listener);
  const std::vector<char> block(65536);
  size_t sent = 0;
  for (ssize_t bytes = 1; bytes > 0;) {
    bytes = ::send(connection.near.get(), block.data(), block.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (bytes > 0) sent += static_cast<size_t>(bytes);
  }
  connection.near.close();
  const auto sockets = SocketTable::read();
  TAILS_ASSERT_OK(sockets);
  ASSERT_EQ(sockets->all().size(), 1U);
  if (!sockets->all()[0].uid) GTEST_SKIP() << "this kernel forgets whose a closed socket was";

  EXPECT_EQ(revoke(rules_).removed, 0U);
  size_t received = 0;
  std::vector<char> buffer(block.size());
  while (wait_readable(connection.far.get(), milliseconds(1000))) {
    const ssize_t bytes = ::recv(connection.far.get(), buffer.data(), buffer.size(), 0);
    if (bytes <= 0) break;
    received += static_cast<size_t>(bytes);
  }
  EXPECT_EQ(received, sent);
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
  const auto remove = [](const Selection& selection) { return remove_flows(selection, no_rules).value().removed; };

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
  const auto report = remove_flows(selection, no_rules);
  TAILS_ASSERT_OK(report);
  EXPECT_EQ(report->removed, 1U);
  EXPECT_EQ(sockets(*report), 1U);
  EXPECT_EQ(first.error(), told_);
  EXPECT_TRUE(second.passes());
}

TEST_F(Removal, OfAUserLeavesOtherUsersAlone) {
  const Endpoint web{kInternet, 443};
  const Descriptor listener = listen_outside(web);
  const Connection amnesia = connect(kAmnesia, web, listener);
  const Connection clearnet = connect(kClearnet, web, listener);
  Selection selection;
  selection.user = kClearnet;
  const auto report = remove_flows(selection, no_rules);
  TAILS_ASSERT_OK(report);
  EXPECT_EQ(report->removed, 1U);
  EXPECT_EQ(clearnet.error(), told_);
  EXPECT_TRUE(amnesia.passes());
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
  const auto report = remove_flows(dead, no_rules);
  TAILS_ASSERT_OK(report);
  EXPECT_EQ(report->removed, 1U);
  EXPECT_EQ(by_uplink.error(), told_);
  EXPECT_FALSE(has_flow_to(web));
  EXPECT_TRUE(by_lan.passes());
  EXPECT_TRUE(forwarded->passes());
}

TEST_F(Removal, MendsWhatAKilledRunLeftBehind) {
  using std::chrono::microseconds;
  const Endpoint web{kInternet, 443};
  const Descriptor listener = listen_outside(web);
  // Kills at moments all over the time that a whole run takes here.
  constexpr int kMoments = 16;
  microseconds whole{0};
  int killed = 0;
  for (int moment = -1; moment <= kMoments; ++moment) {
    SCOPED_TRACE(std::to_string(moment) + " of " + std::to_string(kMoments) + " parts of a run");
    load_open();
    std::vector<Connection> connections;
    for (int i = 0; i < 5; ++i) connections.push_back(connect(kAmnesia, web, listener));
    for (int i = 0; i < 1000; ++i) {
      TAILS_ASSERT_OK(insert_flow({.protocol = protocol::kUdp,
                                   .source = {kHostInternet, static_cast<Port>(2000 + i)},
                                   .destination = {kOtherInternet, 4000}}));
    }
    load(rules_);
    const auto start = std::chrono::steady_clock::now();
    const pid_t child = ::fork();
    if (child == 0) ::_exit(remove_revoked(rules_) ? 0 : 1);
    if (moment >= 0) {
      std::this_thread::sleep_for(whole * moment / kMoments);
      ::kill(child, SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (moment < 0) whole = std::chrono::duration_cast<microseconds>(std::chrono::steady_clock::now() - start);
    if (WIFEXITED(status)) {
      ASSERT_EQ(WEXITSTATUS(status), 0);
    } else {
      ASSERT_EQ(WTERMSIG(status), SIGKILL);
      ASSERT_GE(moment, 0) << "nobody killed this one";
      ++killed;
    }
    (void)revoke(rules_);
    ASSERT_TRUE(flows().empty());
    for (const Connection& connection : connections) ASSERT_EQ(connection.error(), told_);
  }
  // Where others take the processor, some come too late.
  EXPECT_GE(killed, kMoments / 4);
}

TEST_F(Removal, WithoutTheCapabilitySaysSo) {
  const auto said = as_user(kAmnesia, [] {
    const auto report = remove_flows({}, no_rules);
    return report ? std::string("it worked") : report.error().message + "|" + report.error().remedy;
  });
  TAILS_ASSERT_OK(said);
  EXPECT_EQ(*said,
            "cannot read the flow table: permission denied (EPERM)|"
            "Run as root, or with CAP_NET_ADMIN. No flow was removed.");
}

TEST_F(Removal, WithoutConntrackNetlinkSaysWhichModuleIsMissing) {
  const auto said = as_user(Uid{0}, [&] {
    if (!tails::testing::lose_ctnetlink()) return std::string("seccomp refused");
    const auto report = remove_revoked(rules_);
    return report ? std::string("it worked") : report.error().message;
  });
  TAILS_ASSERT_OK(said);
  EXPECT_EQ(*said, "cannot read the flow table: this kernel has no conntrack netlink (module nf_conntrack_netlink)");
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
