#include "tests/kernel/harness/netlink.h"

#include <sys/socket.h>

#include <array>

#include "tests/kernel/harness/failure.h"

namespace tails::testbed {

Result<void> request_and_wait(int socket, const nlmsghdr* request, const std::string& what) {
  if (::send(socket, request, request->nlmsg_len, 0) < 0) return system_failure(what);
  alignas(nlmsghdr) std::array<char, 4096> answer{};
  const ssize_t length = ::recv(socket, answer.data(), answer.size(), 0);
  if (length < 0 || mnl_cb_run(answer.data(), static_cast<size_t>(length), 0, 0, nullptr, nullptr) < 0) {
    return system_failure(what);
  }
  return {};
}

}  // namespace tails::testbed
