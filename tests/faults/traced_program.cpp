#include "tests/faults/traced_program.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "net/descriptor.h"

namespace tails::faults {
namespace {

/// The program's first own act is to look whether it writes to a terminal. What is before belongs to the loader, to the
/// run-time and to sanitizers.
constexpr long kOwnStart = SYS_ioctl;

/// What a call that must not happen becomes: one that does nothing. (A number that no call has would do as well, were
/// it not for filters of system calls, which end a program for it.)
constexpr long kNoCall = SYS_getpid;

bool make_run_private() {
  return unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("none", "/run", "tmpfs", 0, "mode=755") == 0;
}

[[noreturn]] void become(const TracedLaunch& launch, int out, int err) {
  std::vector<char*> words;
  for (const std::string& argument : launch.arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const bool is_ready = (launch.shares_run || make_run_private()) && dup2(out, 1) == 1 && dup2(err, 2) == 2 &&
                        setenv("ASAN_OPTIONS", "detect_leaks=0", 1) == 0;
  for (const std::string& variable : launch.environment) putenv(const_cast<char*>(variable.c_str()));
  if (!is_ready || ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(120);
  personality(ADDR_NO_RANDOMIZE);  // So that sanitizers ask about the same memory each time.
  raise(SIGSTOP);
  execv(words[0], words.data());
  _exit(121);
}

std::string contents(int descriptor) {
  std::string all;
  std::array<char, 4096> part{};
  for (ssize_t n = 0; (n = pread(descriptor, part.data(), part.size(), static_cast<off_t>(all.size()))) > 0;) {
    all.append(part.data(), static_cast<size_t>(n));
  }
  return all;
}

/// Watches one child, stopped before its execve.
class Tracer {
 public:
  Tracer(pid_t child, const TracedLaunch& launch, const Disturbance& disturbance)
      : child_(child), launch_(launch), disturbance_(disturbance) {}

  Traced run() {
    constexpr unsigned long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC;
    ptrace(PTRACE_SETOPTIONS, child_, nullptr, kOptions);
    int status = 0;
    for (int signal = 0;;) {
      // Once disturbed, it goes on at its own speed; only its signals still come by us.
      ptrace(is_done_ ? PTRACE_CONT : PTRACE_SYSCALL, child_, nullptr, signal);
      signal = 0;
      if (waitpid(child_, &status, 0) != child_) return traced_;
      if (!WIFSTOPPED(status)) break;
      if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
        is_past_exec_ = true;
        is_entry_ = false;  // What comes next is the way out of execve.
      } else if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
        if (is_past_exec_) at_system_call();
      } else if (WSTOPSIG(status) != SIGTRAP) {
        signal = WSTOPSIG(status);
      }
    }
    traced_.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return traced_;
  }

 private:
  void at_system_call() {
    const bool is_entry = is_entry_;
    is_entry_ = !is_entry_;
    if (is_entry) {
      enter();
    } else if (is_started_) {
      leave();
    }
  }

  void enter() {
    number_ = peek(offsetof(user_regs_struct, orig_rax));
    is_started_ = is_started_ || number_ == kOwnStart;
    if (!is_started_) return;
    const size_t call = traced_.system_calls.size();
    traced_.system_calls.push_back(number_);
    if (disturbance_.kill_at == call) {
      kill(child_, SIGKILL);
      traced_.was_killed = is_done_ = true;
      return;
    }
    if (!disturbance_.fail || disturbance_.fail->system_call != number_) return;
    if (seen_++ != disturbance_.fail->at) return;
    is_failing_ = true;
    if (disturbance_.fail->is_after) return;
    if (number_ == SYS_brk) {
      // It has no errno: it tells the end of memory, and a failure is an end that did not move (brk(2), C
      // library/kernel differences). The C library believes any other answer. So it is asked where the end is.
      wanted_end_ = peek(offsetof(user_regs_struct, rdi));
      poke(offsetof(user_regs_struct, rdi), 0);
    } else {
      poke(offsetof(user_regs_struct, orig_rax), kNoCall);
    }
  }

  void leave() {
    long result = is_failing_ || launch_.seen ? peek(offsetof(user_regs_struct, rax)) : 0;
    if (is_failing_) {
      is_failing_ = false;
      is_done_ = !launch_.seen;
      // What failed by itself is not to be made another failure of.
      constexpr long kMostErrno = 4095;
      if (disturbance_.fail->is_after && result < 0 && result >= -kMostErrno) return;
      if (number_ == SYS_brk) {
        poke(offsetof(user_regs_struct, rdi), wanted_end_);  // The program goes on with it.
      } else {
        result = -disturbance_.fail->error;
        poke(offsetof(user_regs_struct, rax), result);
      }
      traced_.was_failed = true;
    }
    if (launch_.seen) launch_.seen(made(result));
  }

  [[nodiscard]] SystemCall made(long result) const {
    user_regs_struct registers{};
    ptrace(PTRACE_GETREGS, child_, nullptr, &registers);
    return {child_,
            number_,
            {registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9},
            result};
  }

  [[nodiscard]] long peek(size_t offset) const { return ptrace(PTRACE_PEEKUSER, child_, offset, nullptr); }
  void poke(size_t offset, long value) const { ptrace(PTRACE_POKEUSER, child_, offset, value); }

  pid_t child_;
  const TracedLaunch& launch_;
  const Disturbance& disturbance_;
  Traced traced_;
  long number_ = -1;
  size_t seen_ = 0;
  long wanted_end_ = 0;
  bool is_past_exec_ = false;
  bool is_entry_ = true;
  bool is_started_ = false;
  bool is_failing_ = false;
  bool is_done_ = false;
};

}  // namespace

Traced run_traced(const TracedLaunch& launch, const Disturbance& disturbance) {
  const Descriptor out(memfd_create("out", MFD_CLOEXEC));
  const Descriptor err(memfd_create("err", MFD_CLOEXEC));
  const pid_t child = fork();
  if (child == 0) become(launch, out.get(), err.get());
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return {};
  Traced traced = Tracer(child, launch, disturbance).run();
  traced.out = contents(out.get());
  traced.err = contents(err.get());
  return traced;
}

}  // namespace tails::faults
