#include "fastpath/dpdk/worker.h"

#include <rte_launch.h>
#include <rte_lcore.h>

#include <atomic>

namespace tails::fastpath::dpdk {

struct Worker::Job {
  std::function<void()> work;
  unsigned core = 0;
  /// EAL's own waiting says the same, in a library that ThreadSanitizer does not see into.
  std::atomic<bool> is_done = false;
};

Worker::Worker(std::unique_ptr<Job> job) : job_(std::move(job)) {}

Worker::Worker(Worker&& other) noexcept = default;

Worker::~Worker() {
  if (!job_) return;
  rte_eal_wait_lcore(job_->core);
  static_cast<void>(job_->is_done.load(std::memory_order_acquire));
}

Result<Worker> Worker::start(std::function<void()> work) {
  auto job = std::make_unique<Job>();
  job->work = std::move(work);
  const auto call = [](void* what) {
    auto& started = *static_cast<Job*>(what);
    started.work();
    started.is_done.store(true, std::memory_order_release);
    return 0;
  };
  for (unsigned core = 0; core < RTE_MAX_LCORE; ++core) {
    if (rte_lcore_is_enabled(core) == 0 || core == rte_get_main_lcore()) continue;
    job->core = core;
    if (rte_eal_get_lcore_state(job->core) == WAIT && rte_eal_remote_launch(call, job.get(), job->core) == 0) {
      return Worker(std::move(job));
    }
  }
  return fail(ErrorKind::kRefused, "there is no core left",
              "EAL takes more with -l CORES behind \"--\": one for the tester, one for the filter.");
}

}  // namespace tails::fastpath::dpdk
