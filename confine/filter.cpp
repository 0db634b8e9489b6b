#include "confine/filter.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "confine/compiled_filter.h"
#include "net/errno_words.h"

namespace tails::confine {
namespace {

/// 0, or errno.
int put_in_force(std::span<const sock_filter> instructions) {
  const sock_fprog program{static_cast<unsigned short>(instructions.size()),
                           const_cast<sock_filter*>(instructions.data())};  // NOLINT: the kernel only reads it
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, &program) == 0) return 0;
  // Before Linux 4.14 there was no log of what is refused, before 3.17 no such call.
  if (errno == EINVAL && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0U, &program) == 0) return 0;
  if (errno == ENOSYS && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0) return 0;
  return errno;
}

}  // namespace

Result<bool> allow_only(Calls calls) {
  const auto instructions = compiled_filter(calls);
  if (instructions.empty()) return fail(ErrorKind::kRefused, "no filter of system calls was compiled for this set");
  const int problem = put_in_force(instructions);
  if (problem == 0) return true;
  // CONFIG_SECCOMP_FILTER is off.
  if (problem == EINVAL || problem == ENOSYS) return false;
  return fail(ErrorKind::kRefused, "cannot limit the system calls: " + errno_words(problem), {}, problem);
}

}  // namespace tails::confine
