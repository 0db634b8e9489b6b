#pragma once

#include <linux/inet_diag.h>

#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "conntrack/netlink.h"
#include "net/result.h"
#include "net/tuple.h"

namespace tails::conntrack {

/// A TCP or UDP socket of this network namespace that can send, as sock_diag(7) tells. Listening and TIME_WAIT
/// sockets are left out: neither sends for a user, and the latter forgot theirs.
struct Socket {
  uint8_t protocol = protocol::kTcp;
  Endpoint local;   ///< Address all zero: any. IPv4-mapped addresses are written as IPv4.
  Endpoint remote;  ///< Port 0: not connected.
  /// Who opened it. Empty where the program closed it already and the kernel forgot the user (before 6.17).
  std::optional<Uid> uid;
  bool is_held = true;           ///< A program still holds it.
  bool takes_ipv4 = false;       ///< An IPv6 socket at any address that also serves IPv4.
  uint8_t state = 0;             ///< TCP_* of netinet/tcp.h; TCP_CLOSE for an unconnected UDP socket.
  uint32_t bound_interface = 0;  ///< Index, 0: any (SO_BINDTODEVICE).
  inet_diag_sockid id{};         ///< The kernel's own words for it, cookie included.
  uint8_t diag_family = 0;       ///< AF_INET or AF_INET6, of the socket, not of its addresses.

  [[nodiscard]] bool is_connected() const { return remote.port != 0; }
};

/// Reads a message of a sock_diag dump of `protocol` (struct inet_diag_msg). Nullopt when it is of another type or
/// family, or cut short. Pure.
std::optional<Socket> decode_socket(const nlmsghdr& message, uint8_t protocol);

/// All sockets of the network namespace of the calling thread at one moment. Reading them once and looking up
/// in memory is much cheaper than a query for each flow. Thread-safe after read().
class SocketTable {
 public:
  SocketTable() = default;
  explicit SocketTable(std::vector<Socket> sockets);

  /// Needs no privilege. A kind of socket that the kernel cannot list (udp_diag is missing) is left out;
  /// is_complete() then says no.
  static Result<SocketTable> read();

  [[nodiscard]] bool is_complete() const { return is_complete_; }
  [[nodiscard]] std::span<const Socket> all() const { return sockets_; }

  /// The sockets that packets with this tuple may come from, in the order of how the kernel would choose:
  /// connected to just this peer; else (UDP) unconnected at this port; else (UDP) connected elsewhere from this
  /// port. All of the best kind. Appended to `found`.
  void senders(const FlowTuple& tuple, std::vector<const Socket*>& found) const;

  /// Sockets connected exactly by `tuple` seen from here: local is its source.
  void connected(const FlowTuple& tuple, std::vector<const Socket*>& found) const;

 private:
  struct Key {
    Endpoint local;
    Endpoint remote;
    uint8_t protocol;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    size_t operator()(const Key& key) const;
  };
  static constexpr size_t kPorts = 65536;

  std::vector<Socket> sockets_;
  std::unordered_multimap<Key, uint32_t, Hash> connected_;
  std::unordered_multimap<uint16_t, uint32_t> udp_by_port_;
  /// Most flows of a busy router have no socket here at all; this answers for them without a hash.
  std::bitset<kPorts> has_local_port_;
  bool is_complete_ = true;
};

/// False: no program of the calling thread's network namespace holds a TCP socket. Costs two small files (sockstat and
/// sockstat6 under /proc/thread-self/net), where a list looks at each bucket of a hash as large as the machine's memory
/// deserves. True where the files cannot be read.
bool may_have_tcp_sockets();

/// Ends sockets as if their connection had been aborted (SOCK_DESTROY): the program's next or current call fails
/// with ECONNABORTED. Move-only, not thread-safe.
class SocketDestroyer {
 public:
  static Result<SocketDestroyer> open();

  enum class Outcome : uint8_t {
    kDestroyed,
    kGone,         ///< It ended before we came; a later socket with the same addresses is not touched.
    kUnsupported,  ///< CONFIG_INET_DIAG_DESTROY is missing: the program waits for its own time-out.
    kRefused,
  };
  Outcome destroy(const Socket& socket);

 private:
  explicit SocketDestroyer(NetlinkSocket socket) : socket_(std::move(socket)) {}
  NetlinkSocket socket_;
};

}  // namespace tails::conntrack
