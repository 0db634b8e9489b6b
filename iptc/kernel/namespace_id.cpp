#include "iptc/kernel/namespace_id.h"

#include <cerrno>

#include "net/errno_words.h"

namespace tails::iptc::kernel {

Result<uint64_t> known_namespace_id(Kernel& kernel) {
  errno = 0;
  const uint64_t here = kernel.namespace_id();
  if (here != 0) return here;
  const int error = errno;
  return fail(ErrorKind::kRefused, "cannot tell in which network namespace this is: " + errno_words(error),
              "Is /proc mounted?", error);
}

}  // namespace tails::iptc::kernel
