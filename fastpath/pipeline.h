#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "fastpath/classifier.h"
#include "fastpath/count.h"
#include "fastpath/filter_rules.h"
#include "fastpath/flow_table.h"
#include "fastpath/kernels.h"
#include "fastpath/outcome.h"

namespace tails::fastpath {

/// Up to kBurst frames that came from one side, and what becomes of each.
struct Burst {
  /// Each frame's memory is readable for at least this many bytes, whatever its length, and for so many beyond its end.
  static constexpr size_t kReadable = 64;
  static constexpr uint8_t kIpChecksumGood = 1, kTransportChecksumGood = 2;  ///< As the NIC found.

  unsigned count = 0;
  alignas(64) std::byte* data[kBurst];  ///< From the Ethernet header on. Written to where a tag is stripped.
  alignas(64) uint16_t length[kBurst];  ///< Without the Ethernet checksum.
  uint8_t known_good[kBurst];           ///< Bits above; 0 when nobody checked.

  // What `process` says.
  alignas(64) Outcome outcome[kBurst];
  alignas(64) VerdictId verdict[kBurst];  ///< For kAccepted and kBlocked.
  uint64_t passed_set = 0;                ///< A bit for each frame that passes.
  uint8_t passed[kBurst];                 ///< Indices of the frames that pass; those of a flow in their order.
  unsigned passed_count = 0;
  uint8_t dropped[kBurst];  ///< All others.
  unsigned dropped_count = 0;
  /// 4 for a passed frame that lost its VLAN tag: it now begins so many bytes later.
  uint8_t trim[kBurst];
};

/// The stages of a pipeline, for who measures them. Parsing has checksums, the tag and the flow's hash; committing has
/// new flows, what changes in the others, and the counters.
enum class Stage : uint8_t { kParse, kLookUp, kClassify, kCommit, kSweep };
inline constexpr size_t kStageCount = 5;
using StageCycles = std::array<uint64_t, kStageCount>;

/// One lcore's filter: frames in, verdicts out. Parse, owner tag, flow, classes, verdict, each for a whole burst before
/// the next, so that the memory that one stage asks for is there when the next one needs it.
///
/// What it says of frame after frame is what `Judge` says, burst or not. Time and rules are given; nothing here reads a
/// clock, allocates per packet, or waits. One thread.
class Pipeline {
 public:
  Pipeline(std::shared_ptr<const FilterRules> rules, FlowTable flows, const Kernels& kernels = fastest_kernels());

  /// Seconds from any start, never backwards.
  void set_time(uint64_t seconds) { flows_.set_time(seconds); }
  void process(Side from, Burst& burst);
  /// The same, and adds the cycles of the time stamp counter that each stage took.
  void process(Side from, Burst& burst, StageCycles& cycles);
  /// Looks after the flow table: some buckets with every burst, or many when there is nothing else to do.
  void sweep(size_t buckets);

  /// From the next burst on these rules hold. No flow is lost but those that they would not let through: each is judged
  /// anew before its next packet. False: the flows of the last change are not through yet, try again later.
  bool set_rules(std::shared_ptr<const FilterRules> rules);
  [[nodiscard]] const FilterRules& rules() const { return *rules_; }
  [[nodiscard]] std::shared_ptr<const FilterRules> shared_rules() const { return rules_; }
  [[nodiscard]] const FlowTable& flows() const { return flows_; }

  /// By Outcome.
  [[nodiscard]] const std::array<Count, kOutcomeCount>& outcomes() const { return outcomes_; }
  /// By VerdictId of the present rules, from their start.
  [[nodiscard]] const std::vector<Count>& verdicts() const { return verdicts_; }

 private:
  struct Scratch;

  template <Side kFrom, class Watch>
  void process_from(Burst& burst, Watch watch);
  template <Side kFrom>
  void parse(Burst& burst, Scratch& s);
  template <Side kFrom>
  bool parse_slowly(Burst& burst, Scratch& s, unsigned i);
  template <Side kFrom>
  void look_up(const Burst& burst, Scratch& s);
  template <Side kFrom>
  void classify(Scratch& s);
  template <Side kFrom>
  void commit(Burst& burst, Scratch& s);
  template <Side kFrom>
  void commit_special(Burst& burst, Scratch& s, uint64_t special, uint64_t accepted);
  template <Side kFrom>
  Outcome decide_special(Scratch& s, unsigned i, VerdictId& verdict, Outcome outcome);
  template <Side kFrom>
  static bool is_strangers(const Scratch& s, unsigned i, const FlowEntry& entry);
  template <Side kFrom>
  Outcome pass(Scratch& s, unsigned i, FlowEntry* entry, uint16_t step);
  template <Side kFrom>
  Outcome settle(Scratch& s, unsigned i, VerdictId& verdict);
  void count(const Burst& burst, VerdictId verdict, unsigned i, Outcome outcome);

  std::shared_ptr<const FilterRules> rules_;
  FlowTable flows_;
  const Kernels* kernels_;
  std::array<Count, kOutcomeCount> outcomes_{};
  std::vector<Count> verdicts_;
};

}  // namespace tails::fastpath
