#include "tests/iptc/traced_program.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

namespace tails::iptc {
namespace {

bool make_run_private() {
  return unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("none", "/run", "tmpfs", 0, nullptr) == 0;
}

/// The stopped child does not make the call that it was about to make.
void skip_call(pid_t child, int error) {
  user_regs_struct registers{};
  ptrace(PTRACE_GETREGS, child, nullptr, &registers);
  registers.orig_rax = ~0ULL;
  ptrace(PTRACE_SETREGS, child, nullptr, &registers);
  ptrace(PTRACE_SYSCALL, child, nullptr, 0);
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return;
  ptrace(PTRACE_GETREGS, child, nullptr, &registers);
  registers.rax = static_cast<unsigned long long>(-error);
  ptrace(PTRACE_SETREGS, child, nullptr, &registers);
}

[[noreturn]] void become(const std::vector<std::string>& arguments, bool shares_run) {
  std::vector<char*> words;
  for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  const int nothing = open("/dev/null", O_RDWR);
  const bool is_ready = (shares_run || make_run_private()) && dup2(nothing, 1) == 1 && dup2(nothing, 2) == 2 &&
                        setenv("ASAN_OPTIONS", "detect_leaks=0", 1) == 0;
  if (!is_ready || ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(120);
  raise(SIGSTOP);
  execv(words[0], words.data());
  _exit(121);
}

}  // namespace

Traced run_traced(const std::vector<std::string>& arguments, const Disturbance& disturbance) {
  Traced traced;
  const pid_t child = fork();
  if (child == 0) become(arguments, disturbance.shares_run);
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
      const bool is_call = is_past_exec && is_entry;
      const size_t number = traced.calls;
      if (is_call) ++traced.calls;
      if (is_call && number == disturbance.kill_at) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        traced.was_killed = true;
        break;
      }
      if (is_call && number == disturbance.fail_at) {
        skip_call(child, disturbance.error);
        continue;
      }
      if (is_call && traced.first_lock == 0) {
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
