#include "tests/kernel/harness/sockets.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "tests/kernel/harness/failure.h"

namespace tails::testbed {
namespace {

using host::domain_of;
using host::SocketAddress;

bool wait_for(int socket, short events, std::chrono::milliseconds patience) {
  pollfd one{socket, events, 0};
  return ::poll(&one, 1, static_cast<int>(patience.count())) > 0;
}

Result<Descriptor> bound(const Endpoint& at, int type) {
  return open_socket(at.address.family, type, {.device = {}, .from = at, .mark = {}});
}

}  // namespace

Result<Descriptor> open_socket(Family family, int type, const SocketOptions& options) {
  Descriptor socket(::socket(domain_of(family), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.is_open()) return system_failure("socket");
  if (const int error = host::set_options(socket.get(), options)) {
    errno = error;
    return system_failure("the options of a socket");
  }
  return socket;
}

Result<void> enlarge_receive_buffer(const Descriptor& socket) {
  constexpr int kBytes = 64 << 20;
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kBytes, sizeof kBytes) != 0) {
    return system_failure("SO_RCVBUFFORCE");
  }
  return {};
}

int connect_tcp(int socket, const Endpoint& to, std::chrono::milliseconds patience) {
  const SocketAddress address(to);
  if (::connect(socket, address.get(), address.length()) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (!wait_for(socket, POLLOUT, patience)) return ETIMEDOUT;
  int error = 0;
  socklen_t length = sizeof error;
  ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length);
  return error;
}

int try_tcp(const Endpoint& to, const SocketOptions& options, std::chrono::milliseconds patience) {
  const auto socket = open_socket(to.address.family, SOCK_STREAM, options);
  return socket ? connect_tcp(socket->get(), to, patience) : socket.error().system_errno;
}

int send_to(int socket, const Endpoint& to, std::string_view text) {
  const SocketAddress address(to);
  return ::sendto(socket, text.data(), text.size(), 0, address.get(), address.length()) < 0 ? errno : 0;
}

int try_udp(const Endpoint& to, const SocketOptions& options) {
  const auto socket = open_socket(to.address.family, SOCK_DGRAM, options);
  return socket ? send_to(socket->get(), to, "hello") : socket.error().system_errno;
}

int try_connected_udp(const Endpoint& to, const SocketOptions& options, std::chrono::milliseconds patience) {
  const auto socket = open_socket(to.address.family, SOCK_DGRAM, options);
  if (!socket) return socket.error().system_errno;
  const SocketAddress address(to);
  if (::connect(socket->get(), address.get(), address.length()) != 0) return errno;
  if (::send(socket->get(), "hello", 5, 0) < 0 && errno != EPERM) return errno;
  if (!wait_for(socket->get(), POLLIN, patience)) return ETIMEDOUT;
  std::array<char, 64> answer{};
  return ::recv(socket->get(), answer.data(), answer.size(), 0) < 0 ? errno : 0;
}

int send_raw(const Packet& packet, const Details& details, const SocketOptions& options) {
  // IPPROTO_RAW: the packet brings its own header, in both families (raw(7), net/ipv6/raw.c).
  const Descriptor socket(::socket(domain_of(packet.family()), SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (!socket.is_open()) return errno;
  if (packet.later_fragment && packet.family() == Family::kIpv4) {
    constexpr int kIpNodefrag = 22;  // linux/in.h: else conntrack waits for the first fragment
    const int yes = 1;
    if (::setsockopt(socket.get(), IPPROTO_IP, kIpNodefrag, &yes, sizeof yes) != 0) return errno;
  }
  if (const int error = host::set_options(socket.get(), options)) return error;
  const Bytes bytes = compose(packet, details);
  const SocketAddress address({packet.destination, 0});
  return ::sendto(socket.get(), bytes.data(), bytes.size(), 0, address.get(), address.length()) < 0 ? errno : 0;
}

Result<Descriptor> listen_tcp(const Endpoint& at) {
  auto socket = bound(at, SOCK_STREAM);
  if (socket && ::listen(socket->get(), SOMAXCONN) != 0) return system_failure("listen");
  return socket;
}

Result<Descriptor> bind_udp(const Endpoint& at) { return bound(at, SOCK_DGRAM); }

Endpoint local_endpoint(int socket) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return host::endpoint_of(storage).value_or(Endpoint{});
}

bool wait_readable(int socket, std::chrono::milliseconds patience) { return wait_for(socket, POLLIN, patience); }

std::optional<Datagram> receive(int socket, std::chrono::milliseconds patience) {
  if (!wait_readable(socket, patience)) return std::nullopt;
  std::string text(1 << 16, '\0');
  sockaddr_storage from{};
  socklen_t length = sizeof from;
  const ssize_t size = ::recvfrom(socket, text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
  if (size < 0) return std::nullopt;
  text.resize(static_cast<size_t>(size));
  return Datagram{std::move(text), host::endpoint_of(from).value_or(Endpoint{})};
}

std::string errno_name(int number) {
  if (number == 0) return "0";
  const char* name = ::strerrorname_np(number);
  return name == nullptr ? std::to_string(number) : name;
}

}  // namespace tails::testbed
