#include "cli/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include <fmt/format.h>

#include "cli/progress.h"

namespace tails::cli {

RunLock::~RunLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<RunLock> RunLock::take(std::chrono::milliseconds wait) {
  constexpr std::chrono::milliseconds kPause{5};
  ::mkdir("/run/tails-iptc", 0755);
  RunLock lock(::open("/run/tails-iptc/lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (lock.descriptor_ < 0) return lock;
  const auto deadline = std::chrono::steady_clock::now() + wait;
  bool waits = false;
  while (::flock(lock.descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return lock;
    if (std::chrono::steady_clock::now() >= deadline) {
      return fail(ErrorKind::kRefused,
                  fmt::format("another tails-iptc is at work and did not end within {} s",
                              std::chrono::duration_cast<std::chrono::seconds>(wait).count()),
                  "Try again, or wait longer: --wait SECONDS.", EWOULDBLOCK);
    }
    if (!waits) progress::stage("Waiting for another tails-iptc");
    waits = true;
    std::this_thread::sleep_for(kPause);
  }
  if (waits) progress::end();
  return lock;
}

}  // namespace tails::cli
