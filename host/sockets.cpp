#include "host/sockets.h"

#include <netinet/in.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace tails::host {
namespace {

template <class T>
int set(int socket, int level, int name, const T& value) {
  return ::setsockopt(socket, level, name, &value, sizeof value) == 0 ? 0 : errno;
}

}  // namespace

SocketAddress::SocketAddress(const Endpoint& endpoint) {
  if (endpoint.address.family == Family::kIpv4) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    endpoint.address.to_wire(&v4.sin_addr);
    std::memcpy(&storage_, &v4, length_ = sizeof v4);
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    endpoint.address.to_wire(&v6.sin6_addr);
    std::memcpy(&storage_, &v6, length_ = sizeof v6);
  }
}

std::optional<Endpoint> endpoint_of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    return Endpoint{IpAddress::from_wire(Family::kIpv4, &v4.sin_addr), ntohs(v4.sin_port)};
  }
  if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    return Endpoint{IpAddress::from_wire(Family::kIpv6, &v6.sin6_addr), ntohs(v6.sin6_port)};
  }
  return std::nullopt;
}

int set_options(int socket, const SocketOptions& options) {
  const int yes = 1;
  if (!options.device.empty()) {
    const std::string_view name = options.device.view();
    if (::setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, name.data(), static_cast<socklen_t>(name.size())) != 0) {
      return errno;
    }
  }
  int error = 0;
  if (options.mark.value != 0) error = set(socket, SOL_SOCKET, SO_MARK, options.mark.value);
  if (error == 0 && options.may_broadcast) error = set(socket, SOL_SOCKET, SO_BROADCAST, yes);
  if (error == 0 && options.is_transparent) error = set(socket, IPPROTO_IP, IP_TRANSPARENT, yes);
  if (error == 0 && options.tos != 0) error = set(socket, IPPROTO_IP, IP_TOS, int{options.tos});
  if (error != 0 || !options.from) return error;
  error = set(socket, SOL_SOCKET, SO_REUSEADDR, yes);
  const SocketAddress from(*options.from);
  return error != 0 ? error : ::bind(socket, from.get(), from.length()) == 0 ? 0 : errno;
}

}  // namespace tails::host
