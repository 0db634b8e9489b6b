#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "fastpath/bench/tester.h"
#include "fastpath/dpdk/port.h"

namespace tails::fastpath::dpdk {

/// A tester with two ports, one to a filter's inside, one to its outside. The calling thread is an lcore and spins.
class PortTester final : public bench::Tester {
 public:
  /// `pool` and `sizes` (for the frames of handshakes: the first of them) outlive it. `key` tells this run's frames
  /// from those of others.
  PortTester(Port inside, Port outside, const PacketPool& pool, std::span<const bench::SizedTraffic> sizes,
             uint32_t key);

  Result<bench::Trial> trial(const bench::Schedule& schedule, bench::Ledger& ledger, double load,
                             bench::Nanoseconds duration) override;
  Result<double> connect(bench::Handshakes& handshakes, Peers peers, bench::Nanoseconds limit) override;

 private:
  /// What is sent together: the frames of each port in order.
  struct Batch;

  void send(Batch& batch, const auto& receive);
  template <class Each>
  unsigned receive(uint32_t key, Each&& each);
  void resend(const bench::Schedule& schedule, bench::Ledger& ledger, bench::Trial& trial);
  Result<void> put(Batch& batch, const bench::FrameTemplate& frame, const bench::Peer& peer, uint32_t sequence,
                   uint32_t key);

  std::array<Port, 2> ports_;  ///< By the side that they stand for.
  const PacketPool* pool_;
  std::span<const bench::SizedTraffic> sizes_;
  uint32_t key_;
  uint32_t next_ = 0;   ///< The next trial's first number.
  uint32_t first_ = 0;  ///< This trial's.
  unsigned lossy_trials_ = 0;
  std::vector<uint64_t> sent_at_;  ///< Cycles, by place in the trial.
  std::vector<std::byte> scratch_;
};

}  // namespace tails::fastpath::dpdk
