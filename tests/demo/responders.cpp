#include "tests/demo/responders.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <utility>
#include <vector>

#include "tests/kernel/harness/failure.h"
#include "tests/kernel/harness/sockets.h"

namespace tails::demo {
namespace {

[[noreturn]] void answer(const std::vector<Descriptor>& listeners, const std::vector<Descriptor>& sockets) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::vector<pollfd> ends;
  for (const Descriptor& listener : listeners) ends.push_back({listener.get(), POLLIN, 0});
  for (const Descriptor& socket : sockets) ends.push_back({socket.get(), POLLIN, 0});
  while (true) {
    if (poll(ends.data(), ends.size(), -1) < 0) continue;
    for (size_t i = 0; i < ends.size(); ++i) {
      if ((ends[i].revents & POLLIN) == 0) continue;
      if (i < listeners.size()) {
        close(accept4(ends[i].fd, nullptr, nullptr, SOCK_CLOEXEC));
      } else if (const auto datagram = testbed::receive(ends[i].fd)) {
        testbed::send_to(ends[i].fd, datagram->from, "hello yourself");
      }
    }
  }
}

}  // namespace

Result<Responders> Responders::start(const testbed::NetworkNamespace& where, std::span<const Endpoint> tcp,
                                     std::span<const Endpoint> udp) {
  const testbed::Inside inside(where);
  std::vector<Descriptor> listeners;
  std::vector<Descriptor> sockets;
  for (const Endpoint& at : tcp) {
    auto listener = testbed::listen_tcp(at);
    if (!listener) return tl::unexpected(listener.error());
    listeners.push_back(std::move(*listener));
  }
  for (const Endpoint& at : udp) {
    auto socket = testbed::bind_udp(at);
    if (!socket) return tl::unexpected(socket.error());
    sockets.push_back(std::move(*socket));
  }
  const pid_t process = fork();
  if (process < 0) return testbed::system_failure("fork");
  if (process == 0) answer(listeners, sockets);
  return Responders(process);
}

Responders::Responders(Responders&& other) noexcept : process_(std::exchange(other.process_, -1)) {}

Responders::~Responders() {
  if (process_ < 0) return;
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
}

}  // namespace tails::demo
