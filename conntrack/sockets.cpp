#include "conntrack/sockets.h"

#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <string>

#include "net/netlink.h"

// Missing from older headers (linux/sock_diag.h since 4.5).
#ifndef SOCK_DESTROY
#define SOCK_DESTROY 21
#endif

namespace tails::conntrack {
namespace {

constexpr uint32_t state_bit(int state) { return 1U << state; }
constexpr uint32_t kAllStates = ~0U;
constexpr uint32_t kSendingTcp =
    kAllStates & ~(state_bit(TCP_LISTEN) | state_bit(TCP_TIME_WAIT) | state_bit(TCP_CLOSE));

constexpr uint64_t kMappedPrefix = 0xFFFF;  // ::ffff:0:0/96, RFC 4291 section 2.5.5.2

IpAddress read_address(uint8_t family, const void* wire) {
  if (family == AF_INET) return IpAddress::from_wire(Family::kIpv4, wire);
  const IpAddress address = IpAddress::from_wire(Family::kIpv6, wire);
  if (address.high == 0 && address.low >> 32 == kMappedPrefix) return IpAddress::v4(static_cast<uint32_t>(address.low));
  return address;
}

bool is_any(const IpAddress& address) { return address.high == 0 && address.low == 0; }

}  // namespace

std::optional<Socket> decode_socket(const nlmsghdr& message, uint8_t protocol) {
  const auto fixed = netlink::fixed_part<inet_diag_msg>(message);
  if (message.nlmsg_type != SOCK_DIAG_BY_FAMILY || !fixed) return std::nullopt;
  const inet_diag_msg& diag = *fixed;
  if (diag.idiag_family != AF_INET && diag.idiag_family != AF_INET6) return std::nullopt;

  Socket socket;
  socket.protocol = protocol;
  socket.local = {read_address(diag.idiag_family, diag.id.idiag_src), be16toh(diag.id.idiag_sport)};
  socket.remote = {read_address(diag.idiag_family, diag.id.idiag_dst), be16toh(diag.id.idiag_dport)};
  socket.state = diag.idiag_state;
  socket.bound_interface = diag.id.idiag_if;
  socket.id = diag.id;
  socket.diag_family = diag.idiag_family;
  socket.is_held = diag.idiag_inode != 0;
  // An orphan has no inode; older kernels then report root, whoever it was (sock_i_uid).
  if (socket.is_held || diag.idiag_uid != 0) socket.uid = Uid{diag.idiag_uid};
  if (diag.idiag_family == AF_INET6) {
    const auto only =
        netlink::find(netlink::Attributes(netlink::message_payload(message, sizeof diag)), INET_DIAG_SKV6ONLY);
    const bool is_v6_only = only && only->u8() != 0;
    socket.takes_ipv4 = !is_v6_only && is_any(socket.local.address);
  }
  return socket;
}

size_t SocketTable::Hash::operator()(const Key& key) const {
  uint64_t hash = key.local.address.high * 3 + key.local.address.low;
  hash = (hash ^ uint64_t{key.local.port} << 32 ^ uint64_t{key.remote.port} << 48 ^ key.protocol) * 0x9E3779B97F4A7C15;
  hash ^= key.remote.address.high * 5 + key.remote.address.low;
  hash *= 0x9E3779B97F4A7C15;
  return hash ^ hash >> 32;
}

SocketTable::SocketTable(std::vector<Socket> sockets) : sockets_(std::move(sockets)) {
  connected_.reserve(sockets_.size());
  for (uint32_t i = 0; i < sockets_.size(); ++i) {
    const Socket& socket = sockets_[i];
    has_local_port_.set(socket.local.port);
    if (socket.is_connected()) connected_.emplace(Key{socket.local, socket.remote, socket.protocol}, i);
    if (socket.protocol == protocol::kUdp) udp_by_port_.emplace(socket.local.port, i);
  }
}

Result<SocketTable> SocketTable::read() {
  auto netlink = NetlinkSocket::open(NETLINK_SOCK_DIAG);
  if (!netlink) {
    return fail(ErrorKind::kRefused, "cannot list sockets: " + words(netlink.error()),
                "The kernel needs sock_diag (module inet_diag).", static_cast<int>(netlink.error()));
  }
  std::vector<Socket> sockets;
  bool is_complete = true;
  for (const uint8_t protocol : {protocol::kTcp, protocol::kUdp}) {
    for (const uint8_t family : {uint8_t{AF_INET}, uint8_t{AF_INET6}}) {
      Request request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sizeof(inet_diag_req_v2));
      auto& query = request.fixed<inet_diag_req_v2>();
      query.sdiag_family = family;
      query.sdiag_protocol = protocol;
      query.idiag_states = protocol == protocol::kTcp ? kSendingTcp : kAllStates;
      const size_t before = sockets.size();
      const auto dumped = netlink->dump(
          request,
          [&](const nlmsghdr& message) {
            if (auto socket = decode_socket(message, protocol)) sockets.push_back(*socket);
          },
          [&] { sockets.resize(before); });
      if (dumped) continue;
      // Neither is a reason to do without the rest: whose owner is not known counts as revoked.
      const int error = static_cast<int>(dumped.error());
      if (error != ENOENT && error != EOPNOTSUPP && error != EINVAL) {
        return fail(ErrorKind::kRefused, "cannot list sockets: " + words(dumped.error()), {}, error);
      }
      if (family == AF_INET || error != ENOENT) is_complete = false;
    }
  }
  SocketTable table(std::move(sockets));
  table.is_complete_ = is_complete;
  return table;
}

void SocketTable::connected(const FlowTuple& tuple, std::vector<const Socket*>& found) const {
  if (!has_local_port_.test(tuple.source.port)) return;
  const auto [first, last] = connected_.equal_range({tuple.source, tuple.destination, tuple.protocol});
  for (auto at = first; at != last; ++at) found.push_back(&sockets_[at->second]);
}

void SocketTable::senders(const FlowTuple& tuple, std::vector<const Socket*>& found) const {
  if (!has_local_port_.test(tuple.source.port)) return;
  const size_t before = found.size();
  connected(tuple, found);
  if (found.size() > before || tuple.protocol != protocol::kUdp) return;

  const auto [first, last] = udp_by_port_.equal_range(tuple.source.port);
  for (const bool unconnected : {true, false}) {
    for (auto at = first; at != last; ++at) {
      const Socket& socket = sockets_[at->second];
      if (socket.is_connected() == unconnected) continue;
      const bool here = socket.local.address == tuple.source.address;
      const bool anywhere =
          is_any(socket.local.address) && (socket.local.address.family == tuple.family() || socket.takes_ipv4);
      if (here || anywhere) found.push_back(&socket);
    }
    if (found.size() > before) return;
  }
}

bool may_have_tcp_sockets() {
  // Lines "TCP: inuse 3 orphan …" and "TCP6: inuse 1" (net/ipv4/proc.c, net/ipv6/proc.c); sockstat6 is missing where
  // IPv6 is.
  const auto counts_none = [](const char* path, const std::string& name, bool may_be_missing) {
    std::ifstream file(path);
    if (!file) return may_be_missing;
    std::string word;
    int64_t count = -1;
    while (file >> word && word != name) {
    }
    return file >> word && word == "inuse" && file >> count && count == 0;
  };
  return !counts_none("/proc/thread-self/net/sockstat", "TCP:", false) ||
         !counts_none("/proc/thread-self/net/sockstat6", "TCP6:", true);
}

Result<SocketDestroyer> SocketDestroyer::open() {
  auto netlink = NetlinkSocket::open(NETLINK_SOCK_DIAG);
  if (!netlink) {
    return fail(ErrorKind::kRefused, "cannot end sockets: " + words(netlink.error()), {},
                static_cast<int>(netlink.error()));
  }
  return SocketDestroyer(std::move(*netlink));
}

SocketDestroyer::Outcome SocketDestroyer::destroy(const Socket& socket) {
  // The cookie is what keeps this from hitting something else: without it the kernel looks the addresses up and,
  // where the connection is gone, finds and kills the *listening* socket (inet_diag_find_one_icsk).
  Request request(SOCK_DESTROY, 0, sizeof(inet_diag_req_v2));
  auto& query = request.fixed<inet_diag_req_v2>();
  query.sdiag_family = socket.diag_family;
  query.sdiag_protocol = socket.protocol;
  query.idiag_states = kAllStates;
  query.id = socket.id;
  const auto asked = socket_.ask(request, {});
  if (asked) return Outcome::kDestroyed;
  switch (static_cast<int>(asked.error())) {
    case ENOENT:
    case ESTALE: return Outcome::kGone;
    case EOPNOTSUPP:
    case EINVAL: return Outcome::kUnsupported;
    default: return Outcome::kRefused;
  }
}

}  // namespace tails::conntrack
