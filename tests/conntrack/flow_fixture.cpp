#include "tests/conntrack/flow_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cerrno>

#include "conntrack/sockets.h"
#include "conntrack/table.h"
#include "policy/lower.h"
#include "policy/read.h"
#include "ruleset/text_writer.h"
#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/program.h"
#include "tests/policy/fixed_environment.h"

namespace tails::conntrack {

using namespace testbed;
using std::chrono::milliseconds;

ruleset::RuleSet FlowTest::tails_rules() {
  tails::testing::FixedEnvironment environment;
  environment.users = tails::testing::profile_users();
  auto loaded = policy::load("tails", environment);
  EXPECT_TRUE(loaded.has_value());
  return policy::lower(loaded->policy);
}

void FlowTest::SetUp() {
  KernelTest::SetUp();
  if (IsSkipped() || HasFatalFailure()) return;
  // Where IPv6 is a module, asking for a socket loads it; addresses and sysctls do not.
  const Descriptor load_ipv6(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  auto built = Testbed::build(tails_guests());
  TAILS_ASSERT_OK(built);
  bed_.emplace(std::move(*built));
  inside_.emplace(bed_->host);
  load_open();
  told_ = kernel_ends_sockets() ? ECONNABORTED : 0;
}

bool FlowTest::kernel_ends_sockets() {
  const Descriptor victim = *bind_udp({kLoopbackV4, 39999});
  sockaddr_in peer{AF_INET, htons(9), {htonl(INADDR_LOOPBACK)}, {}};
  EXPECT_EQ(::connect(victim.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer), 0);
  std::vector<const Socket*> found;
  const auto sockets = SocketTable::read();
  sockets->connected({protocol::kUdp, {kLoopbackV4, 39999}, {kLoopbackV4, 9}, 0, 0, 0}, found);
  EXPECT_EQ(found.size(), 1U);
  return SocketDestroyer::open()->destroy(*found.at(0)) == SocketDestroyer::Outcome::kDestroyed;
}

void FlowTest::load_text(std::string_view rules, const char* tool) {
  const auto loaded = run_checked({.arguments = {tool}, .input = rules, .has_private_run = true});
  TAILS_ASSERT_OK(loaded);
}

void FlowTest::load(const ruleset::RuleSet& rules) {
  load_text(ruleset::write_save(rules, Family::kIpv4));
  load_text(ruleset::write_save(rules, Family::kIpv6), "ip6tables-legacy-restore");
}

void FlowTest::load_open() {
  load_text(
      "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n-A OUTPUT -m state --state INVALID\nCOMMIT\n"
      "*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n"
      "-A POSTROUTING -s 10.200.1.0/24 -j MASQUERADE\nCOMMIT\n");
}

bool FlowTest::Connection::passes() const {
  if (::send(near.get(), "ping", 4, MSG_NOSIGNAL) != 4) return false;
  if (!wait_readable(far.get(), milliseconds(1000))) return false;
  char buffer[8];
  return ::recv(far.get(), buffer, sizeof buffer, 0) == 4;
}

FlowTest::Connection FlowTest::connect(Uid owner, const Endpoint& to, const Descriptor& listener) {
  const SocketOwner as(owner);
  auto near = open_socket(to.address.family, SOCK_STREAM);
  EXPECT_TRUE(near.has_value());
  EXPECT_EQ(connect_tcp(near->get(), to, milliseconds(2000)), 0);
  EXPECT_TRUE(wait_readable(listener.get(), milliseconds(2000)));
  return {std::move(*near), Descriptor(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK))};
}

Descriptor FlowTest::listen_outside(const Endpoint& at) const {
  const Inside outside(bed_->outside);
  auto listener = listen_tcp(at);
  EXPECT_TRUE(listener.has_value());
  return std::move(*listener);
}

Descriptor FlowTest::connected_udp(Uid owner, const Endpoint& to) {
  const SocketOwner as(owner);
  auto socket = open_socket(to.address.family, SOCK_DGRAM);
  EXPECT_TRUE(socket.has_value());
  EXPECT_EQ(connect_tcp(socket->get(), to, milliseconds(100)), 0);
  EXPECT_EQ(::send(socket->get(), "x", 1, 0), 1);
  return std::move(*socket);
}

int FlowTest::pending_error(const Descriptor& socket) {
  char byte = 0;
  if (::recv(socket.get(), &byte, 1, MSG_DONTWAIT) >= 0) return 0;
  return errno == EAGAIN ? 0 : errno;
}

Result<RemovalReport> FlowTest::remove_revoked(const ruleset::RuleSet& rules) {
  Selection selection;
  selection.revoked = true;
  return remove_flows(selection, [&] { return rules; });
}

std::vector<Flow> FlowTest::flows(const FlowFilter& filter) {
  auto table = FlowTable::open();
  EXPECT_TRUE(table.has_value());
  std::vector<Flow> all;
  EXPECT_TRUE(table->for_each(filter, [&](const Flow& flow) { all.push_back(flow); }).has_value());
  return all;
}

bool FlowTest::has_flow_to(const Endpoint& to) {
  for (const Flow& flow : flows()) {
    if (flow.original.destination == to) return true;
  }
  return false;
}

}  // namespace tails::conntrack
