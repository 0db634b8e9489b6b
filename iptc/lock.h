#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "iptc/files.h"
#include "net/result.h"

namespace tails::iptc {

/// The lock that iptables and everything of its kind takes before it changes rules. Held as long as this lives.
class Lock {
 public:
  Lock(Lock&& other) noexcept : files_(other.files_), descriptor_(std::exchange(other.descriptor_, -1)) {}
  Lock& operator=(Lock&&) = delete;
  ~Lock() {
    if (descriptor_ >= 0) files_.close(descriptor_);
  }

  /// Takes the lock at `path` (made where it does not exist), waiting up to `wait` for whoever holds it.
  /// Errors (kRefused): it cannot be opened; it is held, and by whom as far as /proc tells (EWOULDBLOCK).
  static Result<Lock> take(Files& files, const std::string& path, std::chrono::milliseconds wait);

  /// $XTABLES_LOCKFILE, else /run/xtables.lock, as iptables(8) has it.
  static std::string default_path();

 private:
  Lock(Files& files, int descriptor) : files_(files), descriptor_(descriptor) {}
  Files& files_;
  int descriptor_;
};

}  // namespace tails::iptc
