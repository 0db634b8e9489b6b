#include "tests/kernel/programs.h"

#include <poll.h>
#include <sys/socket.h>

#include "tests/kernel/harness/as_user.h"

namespace tails::testbed {
namespace {

void reset_on_close(int socket) {
  const linger at_once{1, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

}  // namespace

Result<void> Programs::serve(uint8_t protocol, const Endpoint& at, Uid owner) {
  const SocketOwner as(owner);
  const bool is_tcp = protocol == protocol::kTcp;
  auto socket = is_tcp ? listen_tcp(at) : bind_udp(at);
  if (!socket) {
    if (socket.error().system_errno == EADDRINUSE) return {};  // two services on one port
    return tl::unexpected(socket.error());
  }
  servers_.push_back({std::move(*socket), is_tcp});
  return {};
}

Result<Programs> Programs::start(const Testbed& bed, const policy::Policy& policy, uint64_t seed) {
  Programs programs(bed, seed);
  const auto serve = [&](uint8_t protocol, const IpAddress& address, Port port, Uid owner) {
    return programs.serve(protocol, {address, port}, owner);
  };
  {
    const Inside inside(bed.host);
    for (const policy::Service& service : policy.services) {
      for (const policy::PortGrant& grant : service.ports) {
        if (grant.ports.is_any()) continue;
        if (auto done = serve(grant.protocol, service.at, grant.ports.first, Uid{0}); !done)
          return tl::unexpected(done.error());
      }
    }
    const IpAddress everywhere = IpAddress::v4(0);
    for (const Port port : {Port{22}, Port{9040}, Port{6000}}) {
      if (auto done = serve(protocol::kTcp, everywhere, port, policy.tor->user.uid); !done)
        return tl::unexpected(done.error());
    }
    if (auto done = serve(protocol::kUdp, everywhere, 69, Uid{0}); !done) return tl::unexpected(done.error());
  }
  const Inside inside(bed.outside);
  const IpAddress everywhere = IpAddress::v4(0);
  for (const Port port : {Port{53}, Port{80}, Port{443}}) {
    if (auto done = serve(protocol::kTcp, everywhere, port, Uid{0}); !done) return tl::unexpected(done.error());
  }
  if (auto done = serve(protocol::kUdp, everywhere, 53, Uid{0}); !done) return tl::unexpected(done.error());
  return programs;
}

void Programs::act(const Packet& wish) {
  const Inside inside(bed_->host);
  SocketOptions options{.device = wish.out, .from = {}, .mark = {}};
  if (chance(15)) options.from = Endpoint{wish.source, wish.source_port};
  {
    const SocketOwner owner(wish.uid.value_or(Uid{0}));
    if (wish.protocol == protocol::kTcp) {
      connect_tcp_client(wish, options);
    } else {
      send_udp_client(wish, options);
    }
  }
  let_servers_work();
  constexpr size_t kMostOpen = 20;
  if (open_.size() > kMostOpen) open_.erase(open_.begin() + static_cast<ptrdiff_t>(random_() % open_.size()));
}

void Programs::connect_tcp_client(const Packet& wish, const SocketOptions& options) {
  auto socket = open_socket(wish.family(), SOCK_STREAM, options);
  if (!socket) return;
  const int result =
      connect_tcp(socket->get(), {wish.destination, wish.destination_port}, std::chrono::milliseconds(0));
  if (result == 0 && chance(70)) ::send(socket->get(), "request", 7, MSG_NOSIGNAL);
  if (chance(30)) reset_on_close(socket->get());
  if (chance(40)) open_.push_back(std::move(*socket));
}

void Programs::send_udp_client(const Packet& wish, const SocketOptions& options) {
  auto socket = open_socket(wish.family(), SOCK_DGRAM, options);
  if (!socket) return;
  const Endpoint to{wish.destination, wish.destination_port};
  const int repetitions = static_cast<int>(1 + random_() % 3);
  for (int i = 0; i < repetitions; ++i) {
    send_to(socket->get(), to, "question");
    let_servers_work();
  }
  if (chance(40)) open_.push_back(std::move(*socket));
}

void Programs::let_servers_work() {
  std::vector<pollfd> ready;
  for (const Server& server : servers_) ready.push_back({server.socket.get(), POLLIN, 0});
  if (::poll(ready.data(), ready.size(), 0) <= 0) return;
  for (size_t i = 0; i < servers_.size(); ++i) {
    if (ready[i].revents == 0) continue;
    const int socket = servers_[i].socket.get();
    if (!servers_[i].is_tcp) {
      while (const auto question = receive(socket, std::chrono::milliseconds(0)))
        send_to(socket, question->from, "answer");
      continue;
    }
    for (;;) {
      const Descriptor client(::accept4(socket, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!client.is_open()) break;
      if (chance(50)) ::send(client.get(), "welcome", 7, MSG_NOSIGNAL);
      if (chance(20)) reset_on_close(client.get());
    }
  }
}

}  // namespace tails::testbed
