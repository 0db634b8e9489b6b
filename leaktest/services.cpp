#include "leaktest/services.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <string_view>

#include "host/sockets.h"
#include "leaktest/wire.h"
#include "net/errno_words.h"

namespace tails::leaktest {
namespace {

/// One socket for both families; IPv4 alone where the kernel has no IPv6.
Result<Descriptor> listen_at(Port port) {
  const auto failed = [&]() -> tl::unexpected<Error> {
    const int number = errno;
    return fail(ErrorKind::kRefused, "cannot listen at port " + std::to_string(port) + ": " + errno_words(number), {},
                number);
  };
  Endpoint anywhere{IpAddress::v6(0, 0), port};
  Descriptor socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.is_open()) {
    const int no = 0;
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  } else {
    anywhere.address = IpAddress::v4(0);
    socket = Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket.is_open()) return failed();
  }
  if (const int error = host::set_options(socket.get(), {.from = anywhere})) {
    errno = error;
    return failed();
  }
  if (::listen(socket.get(), SOMAXCONN) != 0) return failed();
  return socket;
}

std::optional<Descriptor> bind_at(const Endpoint& at) {
  Descriptor socket(::socket(host::domain_of(at.address.family), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const host::SocketAddress address(at);
  if (!socket.is_open() || ::bind(socket.get(), address.get(), address.length()) != 0) return std::nullopt;
  return socket;
}

}  // namespace

Result<Services> Services::open(const std::vector<Port>& tcp, const std::vector<Endpoint>& udp) {
  Services services;
  for (const Port port : tcp) {
    auto listener = listen_at(port);
    if (!listener) return tl::unexpected(listener.error());
    services.tcp_.push_back(std::move(*listener));
  }
  for (const Endpoint& at : udp) {
    if (auto socket = bind_at(at)) services.udp_.push_back(std::move(*socket));
  }
  return services;
}

void Services::answer(int udp_socket) {
  std::array<char, 2048> question{};
  for (;;) {
    sockaddr_storage from{};
    socklen_t length = sizeof from;
    const ssize_t size =
        ::recvfrom(udp_socket, question.data(), question.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (size < 0) return;
    // Without the question's token: this is no packet of the case. Answers are not answered.
    if (std::string_view(question.data(), static_cast<size_t>(size)) == kAnswer) continue;
    ::sendto(udp_socket, kAnswer.data(), kAnswer.size(), 0, reinterpret_cast<const sockaddr*>(&from), length);
  }
}

}  // namespace tails::leaktest
