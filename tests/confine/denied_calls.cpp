#include "tests/confine/denied_calls.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_alg.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>

namespace tails::test {
namespace {

using confine::Calls;

int outcome(long result) { return result < 0 ? errno : 0; }
int try_socket(int family, int type, int protocol) { return outcome(::socket(family, type, protocol)); }

/// A process that has ended without doing anything counts as one that was made.
int try_clone(unsigned long flags) {
  const long child = syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (child == 0) _exit(0);
  if (child > 0) waitpid(static_cast<pid_t>(child), nullptr, 0);
  return outcome(child);
}
int try_map(int protection) {
  void* memory = mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? errno : 0;
}
int try_protect(int protection) {
  void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? errno : outcome(mprotect(memory, 4096, protection));
}

constexpr const char* kTrue = "/bin/true";
char* const kNoWords[] = {nullptr};

const auto kCalls = std::to_array<DeniedCall>({
    // Programs, and other processes.
    {"execve", [] { return outcome(execve(kTrue, kNoWords, kNoWords)); }, {}, true},
    {"execveat", [] { return outcome(syscall(SYS_execveat, AT_FDCWD, kTrue, kNoWords, kNoWords, 0)); }, {}, true},
    {"fork", [] { return try_clone(0); }, Calls::kProcesses | Calls::kMost, false, true},
    {"a process in a user namespace of its own", [] { return try_clone(CLONE_NEWUSER); }, Calls::kMost, false, true},
    {"a process in a network of its own", [] { return try_clone(CLONE_NEWNET); }, Calls::kMost, false, true},
    {"ptrace", [] { return outcome(ptrace(PTRACE_TRACEME)); }, {}, true, true},
    {"process_vm_writev", [] { return outcome(syscall(SYS_process_vm_writev, getpid(), nullptr, 0, nullptr, 0, 0)); }, {}, true},
    {"kill", [] { return outcome(kill(getpid(), 0)); }, Calls::kProcesses | Calls::kMost, false, true},
    {"pidfd_open", [] { return outcome(syscall(SYS_pidfd_open, getpid(), 0)); }, Calls::kMost},
    // Who it is.
    {"setuid", [] { return outcome(syscall(SYS_setuid, 0)); }, Calls::kMost},
    {"setresuid", [] { return outcome(syscall(SYS_setresuid, -1, -1, -1)); }, Calls::kMost},
    {"setgroups", [] { return outcome(syscall(SYS_setgroups, 0, nullptr)); }, Calls::kMost},
    {"setrlimit",
     [] {
       rlimit same{};
       getrlimit(RLIMIT_NOFILE, &same);
       return outcome(setrlimit(RLIMIT_NOFILE, &same));
     },
     Calls::kMost, false, true},
    {"personality", [] { return outcome(syscall(SYS_personality, 0xFFFFFFFF)); }, {}, true},
    {"prctl for anything", [] { return outcome(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }, Calls::kMost, false, true},
    // Sockets. Those of the kernel's own kind may be missing; then no filter is shown, so each is one that every kernel
    // of the tests has.
    {"a socket of AF_UNIX", [] { return try_socket(AF_UNIX, SOCK_STREAM, 0); }, Calls::kMost},
    {"a packet socket", [] { return try_socket(AF_PACKET, SOCK_RAW, 0); }, Calls::kMost},
    {"a netlink socket for events of devices", [] { return try_socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT); }, Calls::kMost},
    {"socketpair",
     [] {
       std::array<int, 2> ends{};
       return outcome(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()));
     },
     Calls::kMost},
    {"connect", [] { return outcome(connect(-1, nullptr, 0)); }, Calls::kMost},
    {"listen", [] { return outcome(listen(-1, 1)); }, Calls::kMost},
    // Files.
    {"a file for writing", [] { return outcome(open("/etc/passwd", O_WRONLY | O_CLOEXEC)); }, Calls::kMost},
    {"a file for both", [] { return outcome(open("/etc/passwd", O_RDWR | O_CLOEXEC)); }, Calls::kMost},
    {"a file emptied",
     [] { return outcome(open("/etc/tails-iptc-no-such-file", O_RDONLY | O_TRUNC | O_CLOEXEC)); }, Calls::kFiles | Calls::kMost},
    {"a new file",
     [] {
       const int file = open("/tmp/tails-iptc-confine-test", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
       const int result = outcome(file);
       if (file >= 0) unlink("/tmp/tails-iptc-confine-test");
       return result;
     },
     Calls::kMost},
    {"a file without a name", [] { return outcome(open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)); }, Calls::kMost},
    {"a new folder",
     [] {
       const int result = outcome(mkdir("/tmp/tails-iptc-confine-test.d", 0700));
       if (result == 0) rmdir("/tmp/tails-iptc-confine-test.d");
       return result;
     },
     Calls::kMost},
    {"a symbolic link",
     [] {
       const int result = outcome(symlink("/etc/passwd", "/tmp/tails-iptc-confine-link"));
       if (result == 0) unlink("/tmp/tails-iptc-confine-link");
       return result;
     },
     Calls::kMost},
    {"a hard link", [] { return outcome(link("/no-such-file", "/tmp/tails-iptc-confine-link")); }, Calls::kMost},
    {"a device", [] { return outcome(mknod("/no-such-folder/device", S_IFBLK | 0600, 0)); }, Calls::kMost},
    {"chmod", [] { return outcome(chmod("/no-such-file", 0777)); }, Calls::kMost},
    {"chown", [] { return outcome(chown("/no-such-file", 0, 0)); }, Calls::kMost},
    {"setxattr", [] { return outcome(syscall(SYS_setxattr, "/no-such-file", "user.x", "", 0, 0)); }, Calls::kMost},
    {"openat2", [] { return outcome(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", nullptr, 0)); }, Calls::kMost},
    {"open_by_handle_at", [] { return outcome(syscall(SYS_open_by_handle_at, -1, nullptr, 0)); }, {}, true},
    {"memfd_create", [] { return outcome(memfd_create("test", MFD_CLOEXEC)); }, Calls::kMost},
    // Mounts and namespaces.
    {"mount", [] { return outcome(mount("none", "/no-such-folder", "tmpfs", 0, nullptr)); }, Calls::kMost},
    {"umount", [] { return outcome(umount("/no-such-folder")); }, Calls::kMost},
    {"chroot", [] { return outcome(chroot("/")); }, Calls::kMost},
    {"pivot_root", [] { return outcome(syscall(SYS_pivot_root, "/no-such-folder", "/no-such-folder")); }, {}, true},
    {"unshare", [] { return outcome(unshare(CLONE_NEWNS)); }, Calls::kMost},
    {"setns", [] { return outcome(setns(-1, CLONE_NEWNET)); }, Calls::kNamespaces | Calls::kMost},
    // Memory that is written and then run.
    {"memory to write and to run", [] { return try_map(PROT_READ | PROT_WRITE | PROT_EXEC); }, Calls::kMost, false, true},
    {"memory that becomes a program", [] { return try_protect(PROT_READ | PROT_EXEC); }, Calls::kMost, false, true},
    // The kernel's inside.
    {"bpf",
     [] {
       bpf_attr none{};
       return outcome(syscall(SYS_bpf, BPF_PROG_LOAD, &none, sizeof none));
     },
     Calls::kBpf | Calls::kMost},
    {"perf_event_open",
     [] {
       perf_event_attr none{};
       none.size = sizeof none;
       return outcome(syscall(SYS_perf_event_open, &none, 0, -1, -1, 0));
     },
     {}, true},
    {"init_module", [] { return outcome(syscall(SYS_init_module, nullptr, 0, "")); }, {}, true},
    {"finit_module", [] { return outcome(syscall(SYS_finit_module, -1, "", 0)); }, {}, true},
    {"kexec_load", [] { return outcome(syscall(SYS_kexec_load, 0, 0, nullptr, 0)); }, {}, true},
    {"io_uring_setup", [] { return outcome(syscall(SYS_io_uring_setup, 1, nullptr)); }, {}, true},
    {"userfaultfd", [] { return outcome(syscall(SYS_userfaultfd, 0)); }, {}, true},
    {"keyctl", [] { return outcome(syscall(SYS_keyctl, 0, 0, 0, 0, 0)); }, {}, true},
    {"add_key", [] { return outcome(syscall(SYS_add_key, nullptr, nullptr, nullptr, 0, 0)); }, {}, true},
    {"reboot", [] { return outcome(syscall(SYS_reboot, 0, 0, 0, nullptr)); }, {}, true},
    {"swapon", [] { return outcome(syscall(SYS_swapon, "/no-such-file", 0)); }, {}, true},
    {"settimeofday", [] { return outcome(syscall(SYS_settimeofday, nullptr, nullptr)); }, {}, true},
    {"sethostname", [] { return outcome(syscall(SYS_sethostname, nullptr, -1)); }, {}, true},
    {"syslog", [] { return outcome(syscall(SYS_syslog, 10, nullptr, 0)); }, Calls::kMost},
    {"typing for the user", [] { return outcome(ioctl(0, TIOCSTI, "x")); }, Calls::kMost},
});

}  // namespace

std::span<const DeniedCall> denied_calls() { return kCalls; }

}  // namespace tails::test
