#include "tests/iptc/failing_calls.h"

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <cerrno>
#include <cstring>

namespace tails::iptc {
namespace {

thread_local FailingCalls* current = nullptr;

/// Makes the call, unless it is to fail.
template <class Call>
auto make(std::string_view name, Call call) -> decltype(call()) {
  const auto fault = FailingCalls::next(name);
  if (!fault || fault->error == 0) return call();
  errno = fault->error;
  return -1;
}

}  // namespace

FailingCalls::FailingCalls(std::optional<CallFault> fault) : fault_(fault) { current = this; }
FailingCalls::~FailingCalls() { current = nullptr; }

std::optional<CallFault> FailingCalls::next(std::string_view name) {
  if (current == nullptr) return std::nullopt;
  FailingCalls& calls = *current;
  const size_t now = calls.made_.size();
  calls.made_.push_back(name);
  const auto& fault = calls.fault_;
  if (!fault || now < fault->at) return std::nullopt;
  if (now > fault->at && !(fault->is_lasting && calls.made_[fault->at] == name)) return std::nullopt;
  return fault;
}

}  // namespace tails::iptc

// The names are the linker's.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
int __real_socket(int family, int type, int protocol);
int __real_connect(int fd, const sockaddr* to, socklen_t length);
int __real_getsockopt(int fd, int level, int name, void* value, socklen_t* length);
int __real_setsockopt(int fd, int level, int name, const void* value, socklen_t length);
ssize_t __real_send(int fd, const void* bytes, size_t length, int flags);
ssize_t __real_recv(int fd, void* bytes, size_t length, int flags);
int __real_poll(pollfd* asked, nfds_t count, int timeout);
pid_t __real_fork();
int __real_pipe2(int* ends, int flags);

int __wrap_socket(int family, int type, int protocol) {
  return tails::iptc::make("socket", [&] { return __real_socket(family, type, protocol); });
}
int __wrap_connect(int fd, const sockaddr* to, socklen_t length) {
  return tails::iptc::make("connect", [&] { return __real_connect(fd, to, length); });
}
int __wrap_getsockopt(int fd, int level, int name, void* value, socklen_t* length) {
  return tails::iptc::make("getsockopt", [&] { return __real_getsockopt(fd, level, name, value, length); });
}
int __wrap_setsockopt(int fd, int level, int name, const void* value, socklen_t length) {
  return tails::iptc::make("setsockopt", [&] { return __real_setsockopt(fd, level, name, value, length); });
}
ssize_t __wrap_send(int fd, const void* bytes, size_t length, int flags) {
  return tails::iptc::make("send", [&] { return __real_send(fd, bytes, length, flags); });
}
ssize_t __wrap_recv(int fd, void* bytes, size_t length, int flags) {
  const auto fault = tails::iptc::FailingCalls::next("recv");
  if (fault && fault->error != 0) {
    errno = fault->error;
    return -1;
  }
  const ssize_t came = __real_recv(fd, bytes, length, flags);
  if (fault && fault->interrupts_dump && came >= static_cast<ssize_t>(sizeof(nlmsghdr))) {
    nlmsghdr first{};
    std::memcpy(&first, bytes, sizeof first);
    first.nlmsg_flags |= NLM_F_DUMP_INTR;
    std::memcpy(bytes, &first, sizeof first);
  }
  return came;
}
int __wrap_poll(pollfd* asked, nfds_t count, int timeout) {
  return tails::iptc::make("poll", [&] { return __real_poll(asked, count, timeout); });
}
pid_t __wrap_fork() {
  return tails::iptc::make("fork", [] { return __real_fork(); });
}
int __wrap_pipe2(int* ends, int flags) {
  return tails::iptc::make("pipe2", [&] { return __real_pipe2(ends, flags); });
}
}
// NOLINTEND(bugprone-reserved-identifier)
