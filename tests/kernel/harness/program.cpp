#include "tests/kernel/harness/program.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <array>

#include "net/descriptor.h"
#include "tests/kernel/harness/failure.h"

namespace tails::testbed {
namespace {

constexpr int kCouldNotStart = 127;

std::string contents(int fd) {
  std::string all;
  std::array<char, 65536> part{};
  off_t offset = 0;
  for (ssize_t n = 0; (n = ::pread(fd, part.data(), part.size(), offset)) > 0; offset += n) {
    all.append(part.data(), static_cast<size_t>(n));
  }
  return all;
}

bool make_run_private() {
  return ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("tmpfs", "/run", "tmpfs", 0, "mode=755") == 0;
}

[[noreturn]] void become(const Launch& launch, const std::vector<char*>& argv, int in, int out, int err) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(err, 2) < 0) ::_exit(kCouldNotStart);
  if (launch.has_private_run && !make_run_private()) ::_exit(kCouldNotStart);
  for (const std::string& variable : launch.environment) ::putenv(const_cast<char*>(variable.c_str()));
  ::execvp(argv[0], argv.data());
  ::dprintf(2, "%s: %s\n", argv[0], std::strerror(errno));
  ::_exit(kCouldNotStart);
}

}  // namespace

Result<Finished> run(const Launch& launch) {
  // Files in memory and not pipes: no deadlock between a full pipe and us, and no thread.
  const Descriptor in(::memfd_create("in", MFD_CLOEXEC));
  const Descriptor out(::memfd_create("out", MFD_CLOEXEC));
  const Descriptor err(::memfd_create("err", MFD_CLOEXEC));
  if (!in.is_open() || !out.is_open() || !err.is_open()) return system_failure("memfd_create");
  if (::write(in.get(), launch.input.data(), launch.input.size()) != static_cast<ssize_t>(launch.input.size()) ||
      ::lseek(in.get(), 0, SEEK_SET) != 0) {
    return system_failure("write the input");
  }
  std::vector<char*> argv;
  for (const std::string& argument : launch.arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  const pid_t child = ::fork();
  if (child < 0) return system_failure("fork");
  if (child == 0) become(launch, argv, in.get(), out.get(), err.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return system_failure("waitpid");
  }
  Finished finished{WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), contents(out.get()),
                    contents(err.get())};
  if (finished.status == kCouldNotStart) {
    return fail(ErrorKind::kRefused, launch.arguments.front() + " could not be started: " + finished.err);
  }
  return finished;
}

Result<std::string> run_checked(const Launch& launch) {
  auto finished = run(launch);
  if (!finished) return tl::unexpected(finished.error());
  if (finished->status != 0) {
    std::string command;
    for (const std::string& argument : launch.arguments) command += argument + " ";
    return fail(ErrorKind::kRefused,
                command + "ended with status " + std::to_string(finished->status) + ": " + finished->err);
  }
  return std::move(finished->out);
}

}  // namespace tails::testbed
