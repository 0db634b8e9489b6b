#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "fastpath/dpdk/port.h"
#include "fastpath/pipeline.h"
#include "net/result.h"

namespace tails::fastpath::dpdk {

/// A frame of a bench as it is on the wire, and whether it must not get through.
struct TraceFrame {
  static constexpr size_t kBytes = 64;
  alignas(64) std::array<std::byte, kBytes> bytes{};
};

/// Frames in the order in which they come, again and again.
struct Trace {
  std::vector<TraceFrame, HugePages<TraceFrame>> frames;  ///< A multiple of kBurst.
  std::vector<uint8_t> is_leak;                           ///< By frame.
};

/// What a run of a bench did.
struct Run {
  uint64_t frames = 0;
  uint64_t leaked = 0;           ///< Passed, and must not.
  uint64_t wrongly_blocked = 0;  ///< Dropped, and must pass.
  double seconds = 0;
  std::vector<uint32_t> burst_ns;  ///< From a burst's arrival to its departure, sampled.
  /// Nanoseconds per frame, where stages were measured: the pipeline's by Stage, and the NIC's around them.
  std::array<double, kStageCount> stage_ns{};
  double receive_ns = 0;
  double send_ns = 0;  ///< With freeing what is dropped, and with the checking of verdicts.
};

/// A NIC that costs what a NIC costs, without one: DPDK's null port gives buffers, a frame of the trace is copied into
/// each, and what passes goes to the null port again. As a NIC writes frames to the cache before anybody asks for them,
/// so the trace's next frames are fetched ahead; else a filter would pay for the memory that the trace lies in. One
/// thread.
class SoftwareNic {
 public:
  /// `number`: of this NIC; EAL has the devices net_null{2·number} and the next.
  static Result<SoftwareNic> open(unsigned number = 0);

  /// Forwards every frame, unread: the framework's limit.
  Run forward(const Trace& trace, double seconds);
  /// The whole pipeline in between; every verdict is checked.
  Run filter(Pipeline& pipeline, const Trace& trace, double seconds);
  /// The same, with a look at the clock between all stages, which takes some of the time itself.
  Run filter_by_stages(Pipeline& pipeline, const Trace& trace, double seconds);

 private:
  SoftwareNic(PacketPool pool, Port in, Port out)
      : pool_(std::move(pool)), in_(std::move(in)), out_(std::move(out)), burst_(std::make_unique<Burst>()) {}
  unsigned receive(rte_mbuf** frames, const Trace& trace);
  void ready(rte_mbuf** frames, unsigned count);
  void send(rte_mbuf** frames, const Trace& trace, Run& run);

  PacketPool pool_;
  Port in_;
  Port out_;
  std::unique_ptr<Burst> burst_;
  size_t at_ = 0;  ///< The next frame of the trace.
};

}  // namespace tails::fastpath::dpdk
