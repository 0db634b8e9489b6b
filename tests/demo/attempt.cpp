#include "tests/demo/attempt.h"

#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>

#include <cerrno>

#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/sockets.h"

namespace tails::demo {
namespace {

/// An unprivileged echo request (icmp(7), net.ipv4.ping_group_range).
int try_ping(const IpAddress& to, std::chrono::milliseconds patience) {
  const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP));
  if (!socket.is_open()) return errno;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  to.to_wire(&address.sin_addr);
  icmphdr echo{};
  echo.type = ICMP_ECHO;
  if (sendto(socket.get(), &echo, sizeof echo, 0, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    return errno;
  }
  return testbed::wait_readable(socket.get(), patience) ? 0 : ETIMEDOUT;
}

int try_one(const Attempt& attempt, std::chrono::milliseconds patience) {
  const IpAddress any{attempt.to.address.family, 0, 0};
  const testbed::SocketOptions options{.device = {}, .from = Endpoint{any, attempt.port}, .mark = {}};
  switch (attempt.destination->way) {
    case Way::kTcp: return testbed::try_tcp(attempt.to, options, patience);
    case Way::kUdp: return testbed::try_connected_udp(attempt.to, options, patience);
    case Way::kPing: return try_ping(attempt.to.address, patience);
  }
  return EINVAL;
}

}  // namespace

Result<std::vector<Answer>> try_all(const testbed::NetworkNamespace& where, Uid user,
                                    const std::vector<Attempt>& attempts, std::chrono::milliseconds patience) {
  const testbed::Inside inside(where);
  const Result<std::string> letters = testbed::as_user(user, [&] {
    std::string answers;
    for (const Attempt& attempt : attempts) {
      const int error = try_one(attempt, patience);
      answers += static_cast<char>(error == 0           ? Answer::kReached
                                   : error == ETIMEDOUT ? Answer::kSilent
                                                        : Answer::kRefused);
    }
    return answers;
  });
  if (!letters) return tl::unexpected(letters.error());
  std::vector<Answer> answers;
  for (const char letter : *letters) answers.push_back(static_cast<Answer>(letter));
  return answers;
}

}  // namespace tails::demo
