#include "confine/calls.h"

#include <array>

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
     "setitimer", "exit", "exit_group", "tgkill",
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

}  // namespace tails::confine
