#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstddef>

namespace tails::testing {

/// From here on, for this process and what it starts, socket(AF_NETLINK, …, NETLINK_NETFILTER) fails as on a kernel
/// without nfnetlink. False when the kernel refuses the filter. x86-64, whose arguments are in the low halves.
inline bool lose_ctnetlink() {
  constexpr auto load = [](size_t offset) {
    return sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
  };
  constexpr auto unless_equal_skip = [](uint32_t value, uint8_t skip) {
    return sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip);
  };
  std::array program = {
      load(offsetof(seccomp_data, nr)),
      unless_equal_skip(SYS_socket, 5),
      load(offsetof(seccomp_data, args[0])),
      unless_equal_skip(AF_NETLINK, 3),
      load(offsetof(seccomp_data, args[2])),
      unless_equal_skip(NETLINK_NETFILTER, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPROTONOSUPPORT),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

}  // namespace tails::testing
