#include "host/netlink_dump.h"

#include <libmnl/libmnl.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "net/errno_words.h"

namespace tails::host {
namespace {

tl::unexpected<Error> refused(int number) {
  return fail(ErrorKind::kRefused, "cannot list over netlink: " + errno_words(number),
              number == EPERM ? "Run as root." : "", number);
}

int give(const nlmsghdr* message, void* data) {
  (*static_cast<const std::function<void(const nlmsghdr&)>*>(data))(*message);
  return MNL_CB_OK;
}

}  // namespace

Result<void> netlink_dump(int protocol, uint16_t type, std::span<const std::byte> header,
                          const std::function<void(const nlmsghdr&)>& each) {
  constexpr int kAttempts = 10;
  const std::unique_ptr<mnl_socket, int (*)(mnl_socket*)> socket(mnl_socket_open2(protocol, SOCK_CLOEXEC),
                                                                 mnl_socket_close);
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) return refused(errno);
  for (uint32_t sequence = 1;; ++sequence) {
    alignas(NLMSG_ALIGNTO) std::array<char, 256> request{};
    nlmsghdr* message = mnl_nlmsg_put_header(request.data());
    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    message->nlmsg_seq = sequence;
    std::memcpy(mnl_nlmsg_put_extra_header(message, header.size()), header.data(), header.size());
    if (mnl_socket_sendto(socket.get(), message, message->nlmsg_len) < 0) return refused(errno);
    alignas(NLMSG_ALIGNTO) std::array<char, 32768> answer{};
    int more = MNL_CB_OK;
    auto* data = const_cast<std::function<void(const nlmsghdr&)>*>(&each);
    while (more == MNL_CB_OK) {
      const ssize_t size = mnl_socket_recvfrom(socket.get(), answer.data(), answer.size());
      if (size < 0) return refused(errno);
      more = mnl_cb_run(answer.data(), static_cast<size_t>(size), sequence, mnl_socket_get_portid(socket.get()), give,
                        data);
    }
    if (more == MNL_CB_STOP) return {};
    if (errno != EINTR || sequence == kAttempts) return refused(errno);
  }
}

}  // namespace tails::host
