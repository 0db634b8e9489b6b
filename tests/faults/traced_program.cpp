#include "tests/iptc/traced_program.h"
#include "net/descriptor.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdlib>

namespace tails::iptc {
namespace {

bool make_run_private() {
  return unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("none", "/run", "tmpfs", 0, nullptr) == 0;
}

[[noreturn]] void become(const std::vector<std::string>& arguments, int output, bool shares_run) {
  std::vector<char*> words;
  for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  const bool is_ready = (shares_run || make_run_private()) && dup2(output, 1) == 1 && dup2(output, 2) == 2 &&
                        setenv("ASAN_OPTIONS", "detect_leaks=0", 1) == 0;
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
  Tracer(pid_t child, const Disturbance& disturbance) : child_(child), disturbance_(disturbance) {}

  Traced run() {
    constexpr unsigned long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC;
    ptrace(PTRACE_SETOPTIONS, child_, nullptr, kOptions);
    int status = 0;
    for (int signal = 0;;) {
      ptrace(PTRACE_SYSCALL, child_, nullptr, signal);
      signal = 0;
      if (waitpid(child_, &status, 0) != child_) return traced_;
      if (!WIFSTOPPED(status)) break;
      if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
        is_past_exec_ = true;
        is_entry_ = false;  // What comes next is the way out of execve.
      } else if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
        if (is_past_exec_ && !at_system_call()) break;
      } else if (WSTOPSIG(status) != SIGTRAP) {
        signal = WSTOPSIG(status);
      }
    }
    if (traced_.was_killed) waitpid(child_, &status, 0);
    traced_.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return traced_;
  }

 private:
  /// False where the program was killed.
  bool at_system_call() {
    const bool is_entry = is_entry_;
    is_entry_ = !is_entry_;
    return is_entry ? enter() : leave();
  }

  bool enter() {
    const long number = register_at(offsetof(user_regs_struct, orig_rax));
    const size_t call = traced_.calls++;
    traced_.system_calls.push_back(number);
    if (traced_.first_lock == 0 && number == SYS_flock) traced_.first_lock = call;
    if (disturbance_.kill_at == call) {
      kill(child_, SIGKILL);
      traced_.was_killed = true;
      return false;
    }
    const auto& failure = disturbance_.fail;
    if (failure && (failure->system_call ? seen_of(number) : std::optional(call)) == failure->at) {
      is_failing_ = true;
      // A number that no call has: the kernel does nothing.
      if (!failure->is_after) set_register(offsetof(user_regs_struct, orig_rax), -1);
    }
    return true;
  }

  /// How many calls of the failure's number there were, before this one; none but those have an answer.
  std::optional<size_t> seen_of(long number) {
    if (traced_.first_lock == 0 || number != *disturbance_.fail->system_call) return std::nullopt;
    return seen_++;
  }

  bool leave() {
    if (!is_failing_) return true;
    is_failing_ = false;
    // What failed by itself is not to be made another failure of.
    const long result = register_at(offsetof(user_regs_struct, rax));
    if (disturbance_.fail->is_after && result < 0 && result >= -4095) return true;
    set_register(offsetof(user_regs_struct, rax), -disturbance_.fail->error);
    traced_.was_failed = true;
    return true;
  }

  long register_at(size_t offset) { return ptrace(PTRACE_PEEKUSER, child_, offset, nullptr); }
  void set_register(size_t offset, long value) { ptrace(PTRACE_POKEUSER, child_, offset, value); }

  pid_t child_;
  const Disturbance& disturbance_;
  Traced traced_;
  bool is_past_exec_ = false;
  bool is_entry_ = true;
  bool is_failing_ = false;
  size_t seen_ = 0;
};

}  // namespace

Traced run_traced(const std::vector<std::string>& arguments, const Disturbance& disturbance) {
  const Descriptor output(memfd_create("output", MFD_CLOEXEC));
  const pid_t child = fork();
  if (child == 0) become(arguments, output.get(), disturbance.shares_run);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return {};
  Traced traced = Tracer(child, disturbance).run();
  traced.said = contents(output.get());
  return traced;
}

}  // namespace tails::iptc
