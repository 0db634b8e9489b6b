#pragma once

#include <sys/socket.h>

#include <optional>

#include "net/address.h"
#include "net/ids.h"
#include "net/interface_name.h"
#include "net/packet.h"

/// Internet sockets in the words of net/: what socket calls want instead, and what they tell.
namespace tails::host {

/// AF_INET or AF_INET6.
constexpr int domain_of(Family family) { return family == Family::kIpv4 ? AF_INET : AF_INET6; }

/// An endpoint as connect(2), bind(2) and sendto(2) take it.
class SocketAddress {
 public:
  explicit SocketAddress(const Endpoint& endpoint);
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  [[nodiscard]] socklen_t length() const { return length_; }

 private:
  sockaddr_storage storage_{};
  socklen_t length_ = 0;
};

/// What recvfrom(2), accept(2) and getsockname(2) tell; nullopt for another family.
std::optional<Endpoint> endpoint_of(const sockaddr_storage& address);

/// What is set before the first packet.
struct SocketOptions {
  InterfaceName device{};          ///< SO_BINDTODEVICE.
  std::optional<Endpoint> from{};  ///< bind(2), with SO_REUSEADDR.
  Mark mark{};                     ///< SO_MARK; needs CAP_NET_ADMIN.
  uint8_t tos = 0;                 ///< IP_TOS, where it is not 0.
  bool is_transparent = false;     ///< IP_TRANSPARENT: `from` may be anybody's; needs CAP_NET_ADMIN or CAP_NET_RAW.
  bool may_broadcast = false;      ///< SO_BROADCAST.
};
/// 0, or errno of the first that the kernel refused.
int set_options(int socket, const SocketOptions& options);

}  // namespace tails::host
