#include "tests/faults/possible_errors.h"

#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace tails::faults {
namespace {

constexpr std::array kOpen = {EACCES, EEXIST, EINTR, EIO, ELOOP, EMFILE, ENFILE, ENOENT, ENOMEM, ENOSPC, EPERM, EROFS};
constexpr std::array kRead = {EINTR, EIO, EISDIR};
constexpr std::array kWrite = {EDQUOT, EFBIG, EINTR, EIO, ENOSPC, EPIPE};
constexpr std::array kClose = {EDQUOT, EINTR, EIO, ENOSPC};
constexpr std::array kLock = {EINTR, ENOLCK, EWOULDBLOCK};
constexpr std::array kStat = {EACCES, ENOENT, ENOMEM};
constexpr std::array kSocket = {EACCES, EAFNOSUPPORT, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EPROTONOSUPPORT};
constexpr std::array kAsk = {EAGAIN, EINTR, EINVAL, ENOENT, ENOMEM, ENOPROTOOPT, EPERM, EPROTONOSUPPORT};
constexpr std::array kReplace = {EAGAIN, EEXIST, EINTR, EINVAL, ELOOP, ENOENT, ENOMEM, ENOPROTOOPT, EOVERFLOW, EPERM};
constexpr std::array kMakeDirectory = {EACCES, EEXIST, ELOOP, ENOENT, ENOMEM, ENOSPC, ENOTDIR, EROFS};
constexpr std::array kRename = {EACCES, EBUSY, EIO, EISDIR, ENOENT, ENOMEM, ENOSPC, EROFS};
constexpr std::array kRemove = {EACCES, EBUSY, EIO, ENOENT, ENOMEM, EROFS};
constexpr std::array kNetlinkBind = {EADDRINUSE, ENOMEM, EPERM};
constexpr std::array kNetlinkSend = {EAGAIN, ECONNREFUSED, EINTR, ENOBUFS, ENOMEM, EPERM};
constexpr std::array kNetlinkReceive = {EAGAIN, EINTR, ENOBUFS, ENOMEM};
constexpr std::array kFork = {EAGAIN, ENOMEM};
constexpr std::array kPipe = {EMFILE, ENFILE};
constexpr std::array kWait = {EINTR};
constexpr std::array kSleep = {EINTR};
constexpr std::array kKill = {EPERM, ESRCH};
constexpr std::array kEnter = {EINVAL, ENOMEM, EPERM};
constexpr std::array kUnshare = {ENOMEM, ENOSPC, EPERM};
constexpr std::array kMount = {EACCES, EBUSY, EINVAL, ENOENT, ENOMEM, ENOSPC, EPERM};
constexpr std::array kUnmount = {EAGAIN, EBUSY, EINVAL, ENOENT, ENOMEM, EPERM};
constexpr std::array kRemoveDirectory = {EACCES, EBUSY, ENOENT, ENOMEM, ENOTEMPTY, EPERM, EROFS};
constexpr std::array kTruncate = {EFBIG, EINTR, EIO, EPERM};
constexpr std::array kSync = {EDQUOT, EIO, ENOSPC};
constexpr std::array kChangeMode = {EIO, ENOMEM, EPERM, EROFS};
constexpr std::array kStatFs = {EINTR, EIO, ENOMEM};
constexpr std::array kList = {EBADF, EIO, ENOENT};
constexpr std::array kGiveUp = {EPERM};
constexpr std::array kFilter = {EACCES, ENOMEM};
constexpr std::array kLimitWriting = {ENOMEM, EPERM};
#ifdef TAILS_SANITIZED
// The sanitizer's own memory: it ends the program where it gets none.
constexpr std::array<int, 0> kMemory = {};
#else
constexpr std::array kMemory = {ENOMEM};
#endif

constexpr std::array kCalls = {
    PossibleErrors{SYS_openat, "openat", kOpen},
    PossibleErrors{SYS_read, "read", kRead},
    PossibleErrors{SYS_pread64, "pread64", kRead},
    PossibleErrors{SYS_write, "write", kWrite},
    PossibleErrors{SYS_writev, "writev", kWrite},
    PossibleErrors{SYS_close, "close", kClose, WorkDone::kYes},
    PossibleErrors{SYS_flock, "flock", kLock},
    PossibleErrors{SYS_newfstatat, "newfstatat", kStat},
    PossibleErrors{SYS_fstat, "fstat", kStat},
    PossibleErrors{SYS_statx, "statx", kStat},
    PossibleErrors{SYS_access, "access", kStat},
    PossibleErrors{SYS_readlink, "readlink", kStat},
    PossibleErrors{SYS_readlinkat, "readlinkat", kStat},
    PossibleErrors{SYS_socket, "socket", kSocket},
    PossibleErrors{SYS_getsockopt, "getsockopt", kAsk},
    PossibleErrors{SYS_setsockopt, "setsockopt", kReplace, WorkDone::kMaybe},
    PossibleErrors{SYS_mkdir, "mkdir", kMakeDirectory},
    PossibleErrors{SYS_rename, "rename", kRename, WorkDone::kMaybe},
    PossibleErrors{SYS_unlink, "unlink", kRemove, WorkDone::kMaybe},
    PossibleErrors{SYS_bind, "bind", kNetlinkBind},
    PossibleErrors{SYS_connect, "connect", kNetlinkBind},
    PossibleErrors{SYS_getsockname, "getsockname", kNetlinkBind},
    PossibleErrors{SYS_sendto, "sendto", kNetlinkSend, WorkDone::kMaybe},
    PossibleErrors{SYS_sendmsg, "sendmsg", kNetlinkSend, WorkDone::kMaybe},
    PossibleErrors{SYS_recvfrom, "recvfrom", kNetlinkReceive},
    PossibleErrors{SYS_recvmsg, "recvmsg", kNetlinkReceive},
    PossibleErrors{SYS_clone, "clone", kFork},
    PossibleErrors{SYS_pipe2, "pipe2", kPipe},
    PossibleErrors{SYS_wait4, "wait4", kWait},
    PossibleErrors{SYS_clock_nanosleep, "clock_nanosleep", kSleep},
    PossibleErrors{SYS_kill, "kill", kKill},
    PossibleErrors{SYS_setns, "setns", kEnter},
    PossibleErrors{SYS_unshare, "unshare", kUnshare},
    PossibleErrors{SYS_mount, "mount", kMount, WorkDone::kMaybe},
    PossibleErrors{SYS_umount2, "umount2", kUnmount, WorkDone::kMaybe},
    PossibleErrors{SYS_rmdir, "rmdir", kRemoveDirectory, WorkDone::kMaybe},
    PossibleErrors{SYS_ftruncate, "ftruncate", kTruncate, WorkDone::kMaybe},
    PossibleErrors{SYS_fsync, "fsync", kSync},
    PossibleErrors{SYS_pwrite64, "pwrite64", kWrite},
    PossibleErrors{SYS_fchmod, "fchmod", kChangeMode},
    PossibleErrors{SYS_fstatfs, "fstatfs", kStatFs},
    PossibleErrors{SYS_getdents64, "getdents64", kList},
    PossibleErrors{SYS_brk, "brk", kMemory},
    PossibleErrors{SYS_mmap, "mmap", kMemory},
    PossibleErrors{SYS_mremap, "mremap", kMemory},
    // The confinement: before anything is changed.
    PossibleErrors{SYS_capget, "capget", kGiveUp},
    PossibleErrors{SYS_capset, "capset", kGiveUp},
    PossibleErrors{SYS_seccomp, "seccomp", kFilter},
    PossibleErrors{SYS_landlock_create_ruleset, "landlock_create_ruleset", kLimitWriting},
    PossibleErrors{SYS_landlock_add_rule, "landlock_add_rule", kLimitWriting},
    PossibleErrors{SYS_landlock_restrict_self, "landlock_restrict_self", kLimitWriting},
    // Of these a failure is not to be had, or tells nobody anything.
    PossibleErrors{SYS_poll, "poll", {}},
    PossibleErrors{SYS_umask, "umask", {}},
    PossibleErrors{SYS_prctl, "prctl", {}},
    PossibleErrors{SYS_munmap, "munmap", {}},
    PossibleErrors{SYS_fcntl, "fcntl", {}},  // F_SETFD of a descriptor that was made just before, by libiptc.
    PossibleErrors{SYS_madvise, "madvise", {}},
    PossibleErrors{SYS_mprotect, "mprotect", {}},
    PossibleErrors{SYS_lseek, "lseek", {}},
    PossibleErrors{SYS_getpid, "getpid", {}},
    PossibleErrors{SYS_gettid, "gettid", {}},
    PossibleErrors{SYS_getcwd, "getcwd", {}},
    PossibleErrors{SYS_getuid, "getuid", {}},
    PossibleErrors{SYS_geteuid, "geteuid", {}},
    PossibleErrors{SYS_clock_gettime, "clock_gettime", {}},
    PossibleErrors{SYS_futex, "futex", {}},
    PossibleErrors{SYS_getrandom, "getrandom", {}},
    PossibleErrors{SYS_rt_sigaction, "rt_sigaction", {}},
    PossibleErrors{SYS_rt_sigprocmask, "rt_sigprocmask", {}},
    PossibleErrors{SYS_sigaltstack, "sigaltstack", {}},
    PossibleErrors{SYS_ioctl, "ioctl", {}},
    PossibleErrors{SYS_exit_group, "exit_group", {}},
};

}  // namespace

const PossibleErrors* possible_errors(long system_call) {
  const auto* const found = std::ranges::find(kCalls, system_call, &PossibleErrors::system_call);
  return found == kCalls.end() ? nullptr : &*found;
}

}  // namespace tails::faults
