#include "cli/watching.h"

#include <atomic>
#include <csignal>

namespace tails::cli {
namespace {

using Clock = std::chrono::steady_clock;

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): a signal handler has no other way
std::atomic<bool> stopped = false;
static_assert(std::atomic<bool>::is_always_lock_free);
void stop(int) { stopped = true; }

}  // namespace

Result<Watching> Watching::begin(const Invocation& invocation) {
  constexpr uint32_t kYear = 365 * 24 * 3600;
  const auto seconds = invocation.arguments.number(kForOption.name, 1, kYear);
  if (!seconds) return tl::unexpected(seconds.error());
  struct sigaction action {};
  action.sa_handler = stop;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  return Watching(*seconds ? Clock::now() + std::chrono::seconds(**seconds) : Clock::time_point::max());
}

bool Watching::goes_on() const { return !stopped && Clock::now() < end_; }

}  // namespace tails::cli
