#include "confine/filter.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <string>

#include "net/errno_words.h"

namespace tails::confine {
namespace {

/// Names that an architecture does not have are passed over: the newer form of the call is there.
constexpr auto kReading = std::to_array<std::string_view>(
    {"read", "readv", "pread64", "preadv", "write", "writev", "pwrite64", "close", "lseek", "_llseek", "fstat",
     "fstat64", "stat", "stat64", "lstat", "lstat64", "newfstatat", "fstatat64", "statx", "statfs", "fstatfs", "access",
     "faccessat", "faccessat2", "readlink", "readlinkat", "getdents", "getdents64", "getcwd", "fcntl", "fcntl64", "dup",
     "dup2", "dup3", "pipe2", "fadvise64", "brk", "munmap", "mremap", "madvise", "rt_sigaction", "rt_sigprocmask",
     "rt_sigreturn", "sigaltstack", "restart_syscall", "poll", "ppoll", "select", "pselect6", "futex",
     "set_robust_list", "rseq", "set_tid_address", "sched_yield", "sched_getaffinity", "getpid", "getppid", "gettid",
     "getuid", "geteuid", "getgid", "getegid", "getgroups", "getresuid", "getresgid", "getpgrp", "getsid", "capget",
     "uname", "sysinfo", "getrandom", "getrlimit", "ugetrlimit", "getrusage", "times", "time", "gettimeofday",
     "clock_gettime", "clock_gettime64", "clock_getres", "clock_nanosleep", "clock_nanosleep_time64", "nanosleep",
     "exit", "exit_group", "tgkill",
     // Giving up more, later.
     "capset", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp"});
constexpr auto kReadingByArgument = std::to_array<std::string_view>(
    {"open, openat: for reading", "mmap: not writable and executable at once", "mprotect: not executable",
     "ioctl: the size of a terminal, names, numbers and flags of interfaces",
     "prctl: the name of the process, what it gives up", "prlimit64: asking",
     "socket: of IPv4, IPv6, and netlink for routes, sockets and filters; connect: to the kernel (with sockets)",
     "clone: without namespaces of its own (with processes)"});
constexpr auto kSockets = std::to_array<std::string_view>({"bind", "getsockname", "getsockopt", "setsockopt", "sendto",
                                                           "sendmsg", "recvfrom", "recvmsg", "recvmmsg", "shutdown"});
constexpr auto kFiles = std::to_array<std::string_view>({"open", "openat", "mkdir", "mkdirat", "rmdir", "unlink",
                                                         "unlinkat", "rename", "renameat", "renameat2", "fsync",
                                                         "fdatasync", "ftruncate", "flock", "fchmod", "umask"});
constexpr auto kProcesses =
    std::to_array<std::string_view>({"wait4", "waitid", "setsid", "chdir", "kill", "close_range"});
constexpr auto kNamespaces = std::to_array<std::string_view>({"setns"});
constexpr auto kBpf = std::to_array<std::string_view>({"bpf"});

/// Most of what a kernel has besides what commands need, and all of what is used to break out.
constexpr auto kNever = std::to_array<std::string_view>({"acct",
                                                         "add_key",
                                                         "adjtimex",
                                                         "execve",
                                                         "execveat",
                                                         "clock_adjtime",
                                                         "clock_settime",
                                                         "create_module",
                                                         "delete_module",
                                                         "fanotify_init",
                                                         "finit_module",
                                                         "init_module",
                                                         "io_uring_enter",
                                                         "io_uring_register",
                                                         "io_uring_setup",
                                                         "ioperm",
                                                         "iopl",
                                                         "kcmp",
                                                         "kexec_file_load",
                                                         "kexec_load",
                                                         "keyctl",
                                                         "lookup_dcookie",
                                                         "modify_ldt",
                                                         "name_to_handle_at",
                                                         "nfsservctl",
                                                         "open_by_handle_at",
                                                         "perf_event_open",
                                                         "personality",
                                                         "pivot_root",
                                                         "process_vm_readv",
                                                         "process_vm_writev",
                                                         "ptrace",
                                                         "quotactl",
                                                         "reboot",
                                                         "request_key",
                                                         "setdomainname",
                                                         "sethostname",
                                                         "settimeofday",
                                                         "stime",
                                                         "swapoff",
                                                         "swapon",
                                                         "userfaultfd",
                                                         "vhangup"});

/// Interfaces by name and number, their flags; a terminal's size. Not TIOCSTI, which types for the user.
constexpr std::array<unsigned long, 8> kIoctls = {TCGETS,      TIOCGWINSZ,   FIONREAD,   SIOCGIFINDEX,
                                                  SIOCGIFNAME, SIOCGIFFLAGS, SIOCGIFMTU, SIOCGIFHWADDR};
constexpr std::array<int, 3> kNetlinkFamilies = {NETLINK_ROUTE, NETLINK_SOCK_DIAG, NETLINK_NETFILTER};
// O_TMPFILE without the bits of O_DIRECTORY, which whoever lists a folder has.
constexpr scmp_datum_t kOpenForMore = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
constexpr scmp_datum_t kNewNamespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

#if defined(__SANITIZE_ADDRESS__)
#define TAILS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TAILS_SANITIZED 1
#endif
#endif

#ifdef TAILS_SANITIZED
/// LeakSanitizer stops the process by ptrace, from a thread of its own, when it ends.
constexpr auto kSanitizers = std::to_array<std::string_view>(
    {"ptrace", "clone", "wait4", "kill", "tkill", "prctl", "mmap", "mprotect", "process_vm_readv", "prlimit64"});
#endif

struct Release {
  void operator()(void* filter) const { seccomp_release(filter); }
};

/// A filter in the making; remembers the first failure.
class Filter {
 public:
  explicit Filter(uint32_t otherwise) : filter_(seccomp_init(otherwise)) {
    if (filter_ == nullptr) problem_ = ENOMEM;
    if (filter_ == nullptr) return;
    // Set by whoever asks for a filter, and without it said to have failed.
    note(seccomp_attr_set(filter_.get(), SCMP_FLTATR_CTL_NNP, 0));
    note(seccomp_attr_set(filter_.get(), SCMP_FLTATR_CTL_OPTIMIZE, kBinaryTree));
    // The kernel's own errno, and not ECANCELED for whatever it said.
    note(seccomp_attr_set(filter_.get(), SCMP_FLTATR_API_SYSRAWRC, 1));
    // Before Linux 4.14 there was no log of it.
    static_cast<void>(seccomp_attr_set(filter_.get(), SCMP_FLTATR_CTL_LOG, 1));
  }

  void add(uint32_t action, std::span<const std::string_view> names) {
    for (const std::string_view name : names) add(action, name, {});
  }
  /// Where all of `conditions` hold.
  void add(uint32_t action, std::string_view name, std::span<const scmp_arg_cmp> conditions) {
    if (problem_ != 0) return;
    const int number = seccomp_syscall_resolve_name(std::string(name).c_str());
    if (number < 0) return;  // __NR_SCMP_ERROR, or a call of other architectures
    note(seccomp_rule_add_array(filter_.get(), action, number, static_cast<unsigned>(conditions.size()),
                                conditions.data()));
  }
  void add(uint32_t action, std::string_view name, std::initializer_list<scmp_arg_cmp> conditions) {
    add(action, name, std::span(conditions.begin(), conditions.size()));
  }

  /// errno of the first failure, 0.
  int load() {
    if (problem_ == 0) note(seccomp_load(filter_.get()));
    return problem_;
  }

 private:
  static constexpr uint32_t kBinaryTree = 2;
  void note(int result) {
    if (result < 0 && problem_ == 0) problem_ = -result;
  }
  std::unique_ptr<void, Release> filter_;
  int problem_ = 0;
};

scmp_arg_cmp no_bit_of(unsigned argument, scmp_datum_t bits) { return {argument, SCMP_CMP_MASKED_EQ, bits, 0}; }
scmp_arg_cmp is(unsigned argument, scmp_datum_t value) { return {argument, SCMP_CMP_EQ, value, 0}; }

void allow_by_argument(Filter& filter, Calls calls) {
  constexpr uint32_t kAllow = SCMP_ACT_ALLOW;
  if (!has(calls, Calls::kFiles)) {
    filter.add(kAllow, "open", {no_bit_of(1, kOpenForMore)});
    filter.add(kAllow, "openat", {no_bit_of(2, kOpenForMore)});
  }
  for (const char* map : {"mmap", "mmap2"}) {
    filter.add(kAllow, map, {no_bit_of(2, PROT_EXEC)});
    filter.add(kAllow, map, {no_bit_of(2, PROT_WRITE)});
  }
  filter.add(kAllow, "mprotect", {no_bit_of(2, PROT_EXEC)});
  for (const unsigned long request : kIoctls) filter.add(kAllow, "ioctl", {is(1, request)});
  for (const int option :
       {PR_SET_NAME, PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_CAP_AMBIENT}) {
    filter.add(kAllow, "prctl", {is(0, static_cast<scmp_datum_t>(option))});
  }
  filter.add(kAllow, "prlimit64", {is(2, 0)});
  if (has(calls, Calls::kSockets)) {
    // Netlink's addresses are shorter than any with which one could reach somebody.
    filter.add(kAllow, "connect", {is(2, sizeof(sockaddr_nl))});
    filter.add(kAllow, "socket", {is(0, AF_INET)});
    filter.add(kAllow, "socket", {is(0, AF_INET6)});
    for (const int family : kNetlinkFamilies) {
      filter.add(kAllow, "socket", {is(0, AF_NETLINK), is(2, static_cast<scmp_datum_t>(family))});
    }
  }
  if (has(calls, Calls::kProcesses)) filter.add(kAllow, "clone", {no_bit_of(0, kNewNamespaces)});
  // Its arguments lie in memory, where a filter cannot look; glibc then takes the older call.
  filter.add(SCMP_ACT_ERRNO(ENOSYS), "clone3", {});
}

}  // namespace

std::span<const std::string_view> call_names(Calls group) {
  switch (group) {
    case Calls::kReadOnly: return kReading;
    case Calls::kSockets: return kSockets;
    case Calls::kFiles: return kFiles;
    case Calls::kProcesses: return kProcesses;
    case Calls::kNamespaces: return kNamespaces;
    case Calls::kBpf: return kBpf;
    case Calls::kMost: break;
  }
  return {};
}

std::span<const std::string_view> calls_by_argument() { return kReadingByArgument; }
std::span<const std::string_view> never() { return kNever; }

Result<bool> allow_only(Calls calls) {
  const bool allows_most = has(calls, Calls::kMost);
  Filter filter(allows_most ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM));
  if (allows_most) {
    for (const std::string_view name : kNever) {
#ifdef TAILS_SANITIZED
      if (std::ranges::find(kSanitizers, name) != kSanitizers.end()) continue;
#endif
      filter.add(SCMP_ACT_ERRNO(EPERM), name, {});
    }
  } else {
    filter.add(SCMP_ACT_ALLOW, kReading);
    for (const Calls group : {Calls::kSockets, Calls::kFiles, Calls::kProcesses, Calls::kNamespaces, Calls::kBpf}) {
      if (has(calls, group)) filter.add(SCMP_ACT_ALLOW, call_names(group));
    }
#ifdef TAILS_SANITIZED
    filter.add(SCMP_ACT_ALLOW, kSanitizers);
#endif
    allow_by_argument(filter, calls);
  }
  const int problem = filter.load();
  if (problem == 0) return true;
  // CONFIG_SECCOMP_FILTER is off.
  if (problem == EINVAL || problem == ENOSYS) return false;
  return fail(ErrorKind::kRefused, "cannot limit the system calls: " + errno_words(problem), {}, problem);
}

}  // namespace tails::confine
