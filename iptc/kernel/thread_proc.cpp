#include "iptc/kernel/thread_proc.h"

#include <unistd.h>

namespace tails::iptc::kernel {

std::string thread_proc(const std::string& proc) {
  // fs/proc/thread_self.c is in Linux 4.4.155 and not in 3.16.0, where threads have no `net` of their own either.
  std::string own = proc + "/thread-self";
  return access(own.c_str(), F_OK) == 0 ? own : proc + "/self";
}

}  // namespace tails::iptc::kernel
