#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "fastpath/counters.h"
#include "fastpath/dpdk/port.h"
#include "fastpath/pipeline.h"
#include "fastpath/reassembly.h"
#include "fastpath/refusal.h"

namespace tails::fastpath::dpdk {

/// The bump in the wire: what comes in at one port goes out at the other if the pipeline lets it pass. Nothing goes any
/// other way, so a filter that is dead, or was never started, passes nothing.
///
/// One thread runs it; the functions marked "any thread" may be called beside it.
class Filter {
 public:
  struct Options {
    size_t flows = 1'000'000;
    bool answers = false;      ///< Tells the inside what is rejected (as the rules say), at most 1,000 a second.
    bool reassembles = false;  ///< Fragments are put together and judged as what they make; else each is dropped.
    bool spins = false;        ///< Never rests, where nothing comes. Else a pause costs the next frame up to 50 µs.
  };

  /// `pool` outlives the filter. Fails with kRefused without memory for the flows.
  static Result<std::unique_ptr<Filter>> make(Port inside, Port outside, const PacketPool& pool,
                                              std::shared_ptr<const FilterRules> rules, const Options& options);

  /// Filters until `stop` is set.
  void run(const std::atomic<bool>& stop);

  /// One round: what is waiting at both ports, at most a burst each. The number of frames. For benches.
  unsigned poll();

  /// Any thread. These rules hold soon, at the latest when `is_settled`; no frame is lost for it. Rules that were still
  /// waiting are forgotten.
  void set_rules(std::shared_ptr<const FilterRules> rules);
  /// Any thread. False while rules wait for the flows of those before them to be through.
  [[nodiscard]] bool is_settled() const;
  /// Any thread.
  [[nodiscard]] Counters counters() const;

 private:
  Filter(Port inside, Port outside, const PacketPool& pool, std::shared_ptr<const FilterRules> rules, FlowTable flows,
         const Options& options);
  unsigned forward(Side from);
  unsigned fill(Side from, rte_mbuf** frames, unsigned count);
  void send(Side to, rte_mbuf** frames, unsigned count);
  void judge_whole_packets();
  void send_whole(const Reassembler::Whole& whole);
  void refuse(Side from, const Burst& burst);
  void take_rules();

  Port ports_[2];  ///< By Side.
  const PacketPool* pool_;
  Options options_;
  Pipeline pipeline_;
  RateLimit refusal_limit_{1000, 100};
  Burst burst_{};
  std::unique_ptr<Reassembler> reassembler_;  ///< Nullptr where fragments are dropped.
  uint64_t now_ns_ = 0;

  std::atomic<bool> has_new_rules_ = false;
  mutable std::mutex mutex_;  ///< Of what follows, and held while the pipeline's rules change or are read.
  std::shared_ptr<const FilterRules> new_rules_;
  Counters kept_;  ///< Counts of earlier policies, and of this class's own; those of the pipeline are added when asked.
};

}  // namespace tails::fastpath::dpdk
