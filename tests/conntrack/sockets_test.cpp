#include "conntrack/sockets.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "tests/conntrack/addresses.h"
#include "tests/conntrack/messages.h"

namespace tails::conntrack {
namespace {

using tails::testing::WrittenMessage;

constexpr IpAddress kHostV6 = IpAddress::v6(0x20010db800000000, 0x10);
/// ::ffff:192.0.2.10
constexpr IpAddress kMappedHost = IpAddress::v6(0, 0xFFFFC000020A);

inet_diag_msg diag_of(const Endpoint& local, const Endpoint& remote) {
  inet_diag_msg diag{};
  diag.idiag_family = local.address.family == Family::kIpv4 ? AF_INET : AF_INET6;
  diag.idiag_state = TCP_ESTABLISHED;
  diag.idiag_inode = 4711;
  diag.idiag_uid = 1000;
  diag.id.idiag_sport = htons(local.port);
  diag.id.idiag_dport = htons(remote.port);
  local.address.to_wire(reinterpret_cast<std::byte*>(diag.id.idiag_src));
  remote.address.to_wire(reinterpret_cast<std::byte*>(diag.id.idiag_dst));
  return diag;
}

std::optional<Socket> decoded(const inet_diag_msg& diag) {
  return decode_socket(WrittenMessage(SOCK_DIAG_BY_FAMILY, diag).get(), protocol::kTcp);
}

TEST(DecodeSocket, ReadsWhoHoldsWhat) {
  inet_diag_msg diag = diag_of({kHost, 40000}, {kInternet, 443});
  diag.id.idiag_if = 3;
  const auto socket = decoded(diag);
  ASSERT_TRUE(socket);
  EXPECT_EQ(socket->local, (Endpoint{kHost, 40000}));
  EXPECT_EQ(socket->remote, (Endpoint{kInternet, 443}));
  EXPECT_EQ(socket->uid, Uid{1000});
  EXPECT_EQ(socket->state, TCP_ESTABLISHED);
  EXPECT_EQ(socket->bound_interface, 3U);
  EXPECT_TRUE(socket->is_held);
  EXPECT_FALSE(socket->takes_ipv4);
}

TEST(DecodeSocket, OfAClosedSocketRootIsNoUserAndAnotherIs) {
  inet_diag_msg diag = diag_of({kHost, 40000}, {kInternet, 443});
  diag.idiag_inode = 0;
  EXPECT_FALSE(decoded(diag)->is_held);
  EXPECT_EQ(decoded(diag)->uid, Uid{1000});
  diag.idiag_uid = 0;
  EXPECT_EQ(decoded(diag)->uid, std::nullopt) << "what kernels before 6.17 say of everybody's";
  diag.idiag_inode = 4711;
  EXPECT_EQ(decoded(diag)->uid, Uid{0});
}

TEST(DecodeSocket, WritesMappedAddressesAsIpv4) {
  const auto mapped = decoded(diag_of({kMappedHost, 40000}, {IpAddress::v6(0, 0xFFFFC6336407), 443}));
  ASSERT_TRUE(mapped);
  EXPECT_EQ(mapped->local, (Endpoint{kHost, 40000}));
  EXPECT_EQ(mapped->remote, (Endpoint{kInternet, 443}));
  EXPECT_EQ(mapped->diag_family, AF_INET6);
  EXPECT_EQ(decoded(diag_of({kHostV6, 1}, {kHostV6, 2}))->local.address, kHostV6);
  // Neither half alone makes one.
  const IpAddress others[] = {IpAddress::v6(1, kMappedHost.low), IpAddress::v6(0, 0xFFFEC000020A)};
  for (const IpAddress& other : others) EXPECT_EQ(decoded(diag_of({other, 1}, {other, 2}))->local.address, other);
}

TEST(DecodeSocket, ASocketAtAnyAddressServesIpv4UnlessItIsForIpv6Only) {
  const inet_diag_msg any = diag_of({IpAddress::v6(0, 0), 53}, {IpAddress::v6(0, 0), 0});
  EXPECT_TRUE(decoded(any)->takes_ipv4);
  const auto with_only = [&](uint8_t value) {
    const auto byte = std::byte{value};
    return decode_socket(WrittenMessage(SOCK_DIAG_BY_FAMILY, any).put_bytes(INET_DIAG_SKV6ONLY, {&byte, 1}).get(),
                         protocol::kUdp);
  };
  EXPECT_TRUE(with_only(0)->takes_ipv4);
  EXPECT_FALSE(with_only(1)->takes_ipv4);
  EXPECT_FALSE(decoded(diag_of({kHostV6, 53}, {IpAddress::v6(0, 0), 0}))->takes_ipv4);
  EXPECT_FALSE(decoded(diag_of({IpAddress::v6(1, 0), 53}, {IpAddress::v6(0, 0), 0}))->takes_ipv4);
}

TEST(DecodeSocket, RefusesOtherKindsAndWhatIsCutShort) {
  inet_diag_msg diag = diag_of({kHost, 40000}, {kInternet, 443});
  EXPECT_FALSE(decode_socket(WrittenMessage(SOCK_DESTROY, diag).get(), protocol::kTcp));
  EXPECT_FALSE(decode_socket(WrittenMessage(SOCK_DIAG_BY_FAMILY, diag).cut_to(sizeof diag - 4).get(), protocol::kTcp));
  diag.idiag_family = AF_UNIX;
  EXPECT_FALSE(decoded(diag));
}

Socket socket_at(uint8_t protocol, const Endpoint& local, const Endpoint& remote = {}) {
  Socket socket;
  socket.protocol = protocol;
  socket.local = local;
  socket.remote = remote;
  return socket;
}

std::vector<Endpoint> senders(const SocketTable& table, uint8_t protocol, const Endpoint& from, const Endpoint& to) {
  std::vector<const Socket*> found;
  table.senders({protocol, from, to, 0, 0, 0}, found);
  std::vector<Endpoint> places;
  for (const Socket* const socket : found) places.push_back(socket->local);
  return places;
}

TEST(SocketTable, FindsWhoMaySendAsTheKernelWouldChoose) {
  const Endpoint any{IpAddress::v4(0), 53};
  const Endpoint here{kHost, 53};
  const Endpoint elsewhere{IpAddress::v4(192, 0, 2, 66), 53};
  const Endpoint to{kInternet, 4000};
  const Endpoint other_peer{kInternet, 4001};
  using Places = std::vector<Endpoint>;
  EXPECT_EQ(senders(SocketTable({socket_at(protocol::kUdp, any), socket_at(protocol::kUdp, here, to)}), protocol::kUdp,
                    here, to),
            Places{here})
      << "the one that is connected to this peer, and no other";
  EXPECT_EQ(senders(SocketTable({socket_at(protocol::kUdp, any), socket_at(protocol::kUdp, elsewhere),
                                 socket_at(protocol::kUdp, here, other_peer)}),
                    protocol::kUdp, here, to),
            Places{any})
      << "one that is at this port and not connected";
  EXPECT_EQ(senders(SocketTable({socket_at(protocol::kUdp, here, other_peer)}), protocol::kUdp, here, to), Places{here})
      << "one that is connected elsewhere by now";
  EXPECT_EQ(senders(SocketTable({socket_at(protocol::kTcp, here, other_peer)}), protocol::kTcp, here, to), Places{})
      << "which TCP cannot";
  EXPECT_EQ(senders(SocketTable({socket_at(protocol::kUdp, elsewhere)}), protocol::kUdp, here, to), Places{});
  EXPECT_EQ(senders(SocketTable(), protocol::kUdp, here, to), Places{});
}

TEST(SocketTable, ASocketOfIpv6SendsIpv4OnlyWhereItTakesBoth) {
  Socket both = socket_at(protocol::kUdp, {IpAddress::v6(0, 0), 53});
  const Endpoint here{kHost, 53};
  EXPECT_TRUE(senders(SocketTable({both}), protocol::kUdp, here, {kInternet, 4000}).empty());
  both.takes_ipv4 = true;
  EXPECT_EQ(senders(SocketTable({both}), protocol::kUdp, here, {kInternet, 4000}).size(), 1U);
}

TEST(SocketTable, TellsConnectionsApartByEachPartOfTheirTuple) {
  const FlowTuple tuple{protocol::kTcp, {kHost, 40000}, {kInternet, 443}, 0, 0, 0};
  const SocketTable table({socket_at(protocol::kTcp, tuple.source, tuple.destination)});
  const auto finds = [&](const FlowTuple& wanted) {
    std::vector<const Socket*> found;
    table.connected(wanted, found);
    return !found.empty();
  };
  EXPECT_TRUE(finds(tuple));
  std::vector<FlowTuple> others(5, tuple);
  others[0].protocol = protocol::kUdp;
  others[1].source.address = kInternet;
  others[2].source.port = 40001;
  others[3].destination.address = kHost;
  others[4].destination.port = 444;
  for (const FlowTuple& other : others) EXPECT_FALSE(finds(other));
}

}  // namespace
}  // namespace tails::conntrack
