#pragma once

#include <chrono>
#include <utility>

#include "net/result.h"

namespace tails::cli {

/// One at a time for what changes rules and flows in more than one step: `apply`, `reconfigure`, `lockdown`, `reset`,
/// `netns up` and `down`, `session add` and `remove`.
/// The xtables lock alone does not do: between reading which policy is in force and putting it in force again, another
/// run may have put another one there. Held as long as this lives, and never longer than the process.
class RunLock {
 public:
  RunLock(RunLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  RunLock& operator=(RunLock&&) = delete;
  ~RunLock();

  /// Takes /run/tails-iptc/lock, waiting up to `wait` for whoever holds it; a person at a terminal is told so. Who may
  /// not write there (is not root) gets an empty lock: what follows fails by itself, with better words. Error
  /// (kRefused): somebody holds it (EWOULDBLOCK).
  static Result<RunLock> take(std::chrono::milliseconds wait);

 private:
  explicit RunLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace tails::cli
