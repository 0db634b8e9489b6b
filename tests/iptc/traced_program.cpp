#include "tests/iptc/traced_program.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

namespace tails::iptc {
namespace {

[[noreturn]] void become(const std::vector<std::string>& arguments) {
  std::vector<char*> words;
  for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  const int nothing = open("/dev/null", O_RDWR);
  const bool is_ready = unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                        mount("none", "/run", "tmpfs", 0, nullptr) == 0 && dup2(nothing, 1) == 1 &&
                        dup2(nothing, 2) == 2 && setenv("ASAN_OPTIONS", "detect_leaks=0", 1) == 0;
  if (!is_ready || ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(120);
  raise(SIGSTOP);
  execv(words[0], words.data());
  _exit(121);
}

}  // namespace

Traced run_traced(const std::vector<std::string>& arguments, const Disturbance& disturbance) {
  Traced traced;
  const pid_t child = fork();
  if (child == 0) become(arguments);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return traced;
  constexpr unsigned long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC;
  ptrace(PTRACE_SETOPTIONS, child, nullptr, kOptions);
  bool is_past_exec = false;
  bool is_entry = true;
  for (int signal = 0;;) {
    ptrace(PTRACE_SYSCALL, child, nullptr, signal);
    signal = 0;
    if (waitpid(child, &status, 0) != child) return traced;
    if (!WIFSTOPPED(status)) break;
    if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
      is_past_exec = true;
      is_entry = false;  // What comes next is the way out of execve.
    } else if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
      if (is_past_exec && is_entry && traced.calls++ == disturbance.kill_at) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        traced.was_killed = true;
        break;
      }
      if (is_past_exec && is_entry && traced.first_lock == 0) {
        __ptrace_syscall_info info{};
        ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_flock) traced.first_lock = traced.calls - 1;
      }
      if (is_past_exec) is_entry = !is_entry;
    } else if (WSTOPSIG(status) != SIGTRAP) {
      signal = WSTOPSIG(status);
    }
  }
  traced.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return traced;
}

}  // namespace tails::iptc
