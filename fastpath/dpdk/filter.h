#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

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

  /// Filters until `stop` is set. May be called again afterwards, by one thread at a time.
  void run(const std::atomic<bool>& stop);

  /// Any thread. These rules hold soon, at the latest when `is_settled`; no frame is lost for it. Rules that were still
  /// waiting are forgotten.
  void set_rules(std::shared_ptr<const FilterRules> rules);
  /// Any thread. False while rules wait for the flows of those before them to be through.
  [[nodiscard]] bool is_settled() const;
  /// Any thread but the one that runs it: that one is asked, and answers after its round (and rest), so all numbers but
  /// `missed` are of one moment. Where nobody runs it, or it ends meanwhile, they are read at once.
  [[nodiscard]] Counters counters();

 private:
  /// What the thread that runs it is asked for; bits.
  enum Request : unsigned { kTakeRules = 1, kCount = 2 };

  /// What is counted from, at one moment: copied in less than a microsecond, as what is made of it is not.
  struct Moment {
    Counters counters;  ///< Without entries.
    std::shared_ptr<const FilterRules> rules;
    std::vector<Count> verdicts;  ///< Of those rules. Keeps its memory.
  };

  Filter(Port inside, Port outside, const PacketPool& pool, std::shared_ptr<const FilterRules> rules, FlowTable flows,
         const Options& options);
  unsigned poll();
  unsigned forward(Side from);
  unsigned fill(Side from, rte_mbuf** frames, unsigned count);
  void send(Side to, rte_mbuf** frames, unsigned count);
  void judge_whole_packets();
  void send_whole(const Reassembler::Whole& whole);
  void refuse(Side from, const Burst& burst);
  void serve(unsigned requests);
  void take_rules();
  void set_running(bool is_running);
  void note_moment();

  Port ports_[2];  ///< By Side.
  const PacketPool* pool_;
  Options options_;
  Pipeline pipeline_;
  RateLimit refusal_limit_{1000, 100};
  Burst burst_{};
  std::unique_ptr<Reassembler> reassembler_;  ///< Nullptr where fragments are dropped.
  uint64_t now_ns_ = 0;

  Counters kept_;  ///< This class's own counts; no entries.

  // Up to here it is the loop's alone while there is one.
  std::atomic<unsigned> requests_ = 0;  ///< Of Request; each round looks at it. Changed under `mutex_`.
  std::mutex asking_;                   ///< Held by who asks for counters, taken before `mutex_`.
  std::mutex mutex_;                    ///< Of what follows.
  std::shared_ptr<const FilterRules> new_rules_;
  std::map<EntryName, Count> earlier_;  ///< Entries of the policies before this one.
  Moment moment_;
  bool is_noted_ = false;  ///< The moment is there, and nobody took it yet.
  bool is_running_ = false;
  std::condition_variable answered_;  ///< Is noted, or no longer running.
};

}  // namespace tails::fastpath::dpdk
