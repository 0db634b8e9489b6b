#pragma once

#include <cstdint>

#include "fastpath/bench/handshakes.h"
#include "fastpath/bench/latency_histogram.h"
#include "fastpath/bench/ledger.h"
#include "fastpath/bench/schedule.h"
#include "fastpath/bench/search_goal.h"
#include "net/result.h"

namespace tails::fastpath::bench {

/// What a trial was like.
struct Trial {
  Tally tally;
  /// Of those that did not come a sample was sent again, one at a time; these did not come again.
  uint64_t wrongly_blocked = 0;
  double shortfall = 0;      ///< By which part the tester was slower than it was asked to be.
  double seconds = 0;        ///< From the first frame sent to the last.
  LatencyHistogram latency;  ///< Nanoseconds, of every frame that passed.
  /// How often the kernel took a core from the tester meanwhile, or from the filter where that is this program too.
  uint64_t interruptions = 0;

  /// As a search looks at it. A tester that was too slow says nothing good of the load: what it did not send counts as
  /// lost, where it is more than a hundredth.
  [[nodiscard]] TrialResult result(double load, Nanoseconds duration) const;
};

/// Sends to both ends of a filter and receives there. One thread.
class Tester {
 public:
  enum class Peers : uint8_t { kConnections, kShortLived };

  Tester() = default;
  Tester(const Tester&) = delete;
  Tester& operator=(const Tester&) = delete;
  virtual ~Tester() = default;

  /// Frames by the schedule, `load` a second, for `duration`; then waits for what is still under way. Fails where
  /// there is no memory for them.
  virtual Result<Trial> trial(const Schedule& schedule, Ledger& ledger, double load, Nanoseconds duration) = 0;
  /// Goes on until all are through, or, where `limit` is not zero, begins none after it. Seconds that it took.
  virtual Result<double> connect(Handshakes& handshakes, Peers peers, Nanoseconds limit) = 0;
};

}  // namespace tails::fastpath::bench
