#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "fastpath/bench/rate_search.h"
#include "fastpath/bench/spread.h"
#include "fastpath/bench/tester.h"

/// The bench of a filter that stands between two ports: what is sent, how often, and what is made of it. Knows no
/// ports; a `Tester` has them.
namespace tails::fastpath::bench {

struct WireSettings {
  uint32_t connections = 100'000;
  unsigned leak_percent = 50;
  unsigned trials = 11;   ///< Of everything; searches are made as often.
  Nanoseconds trial{0};   ///< Of one trial.
  bool searches = false;  ///< For the highest rates; else trials at `load`.
  double load = 0;        ///< Frames a second; 0: as many as the tester can send. Of a search: the most that is tried.
};

/// A mix of frames and what was found for it.
struct MixResult {
  std::string name;
  /// A load that was tried, over all trials at it: for plots.
  struct Point {
    double load = 0;
    double loss_ratio = 0;  ///< The middle one.
    uint64_t leaked = 0;
    unsigned trials = 0;
  };
  /// Frames a second that the network's end got through: of a search, its result each time; else of every trial.
  std::vector<double> ndr, pdr;
  /// Of searches that ended otherwise than with two bounds as near as was asked, or with the tester's limit as one: in
  /// words. Empty where there was none.
  std::string ndr_remark, pdr_remark;
  bool converged = true;      ///< Every search, with bounds as near as was asked or at a limit.
  std::vector<double> limit;  ///< Frames a second that the tester could send of this mix, by search.
  std::vector<Point> points;  ///< By load.
  Tally tally;                ///< Of all trials.
  uint64_t wrongly_blocked = 0;
  unsigned trials = 0;
};

struct LatencyResult {
  unsigned percent = 0;  ///< Of the NDR.
  double load = 0;
  LatencyHistogram latency;
  std::vector<double> p50_us, p99_us;  ///< By trial.
};

struct WireResult {
  std::vector<MixResult> mixes;
  std::vector<LatencyResult> latencies;
  std::vector<double> connections_per_second;  ///< By trial.
  uint32_t opened = 0;                         ///< Of the connections asked for.
  uint32_t held = 0;                           ///< Of those opened: were open all at once.
  std::vector<double> tester_limit;            ///< Frames a second that the tester can send, by trial.
  unsigned trials = 0;
  unsigned repeated = 0;  ///< Trials that went badly, but a core was taken away meanwhile: they were made again.

  [[nodiscard]] uint64_t leaked() const;
  [[nodiscard]] uint64_t wrongly_blocked() const;
};

/// Told now and then: what is done, and how much of all is behind us (0..1).
using WireProgress = std::function<void(std::string_view doing, double part)>;

/// `sizes` and `tester` outlive the call. kRejected where nothing comes through at all: no cable, or no filter.
Result<WireResult> run_wire_bench(Tester& tester, std::span<const SizedTraffic> sizes, const WireSettings& settings,
                                  const WireProgress& progress);

}  // namespace tails::fastpath::bench
