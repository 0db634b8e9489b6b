#pragma once

#include <functional>
#include <memory>

#include "net/result.h"

namespace tails::fastpath::dpdk {

/// Work on a core of its own: one of those that EAL was given beside the first ("-l 0,1"). Moves only; the destructor
/// waits until the work is done, so whatever ends it must have been said before.
class Worker {
 public:
  /// Fails with kRefused where every core has work already.
  static Result<Worker> start(std::function<void()> work);
  Worker(Worker&& other) noexcept;
  Worker& operator=(Worker&&) = delete;
  ~Worker();

 private:
  struct Job;
  explicit Worker(std::unique_ptr<Job> job);
  std::unique_ptr<Job> job_;
};

}  // namespace tails::fastpath::dpdk
