#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "fastpath/bench/traffic.h"

namespace tails::fastpath::bench {

/// Traffic of several frame sizes, and how many frames in a round have each.
struct SizedTraffic {
  Traffic traffic;
  unsigned share = 1;
};

/// How many frames of a mix are sent for what.
struct Share {
  Purpose purpose = Purpose::kSegment;
  unsigned weight = 1;
};

/// Says for every number what the frame with that number is, so that who receives it knows what was sent without being
/// told: the numbers repeat after `kPeriod`, in a random order that is the same every time. Immutable, cheap to ask.
class Schedule {
 public:
  static constexpr uint32_t kPeriod = 1U << 18;

  /// `sizes` outlive this; at most 4. `connections` are open; segments and answers belong to them.
  Schedule(std::span<const SizedTraffic> sizes, std::span<const Share> mix, uint32_t connections, uint32_t seed = 1);

  struct Entry {
    const FrameTemplate* frame = nullptr;
    Peer peer;
    Purpose purpose = Purpose::kSegment;
    uint32_t connection = 0;  ///< Of a segment or answer.
  };
  [[nodiscard]] Entry at(uint32_t sequence) const {
    const Slot& slot = slots_[sequence & (kPeriod - 1)];
    if (slot.purpose == Purpose::kFlood) return {slot.frame, Traffic::flood(sequence), slot.purpose, 0};
    // Each round goes on with other connections.
    const uint32_t number = (slot.number + sequence / kPeriod * kInTurn) % connections_;
    const bool has_connection = expected(slot.purpose) == Expected::kPasses;
    return {slot.frame, has_connection ? Traffic::connection(number) : Traffic::stranger(number), slot.purpose, number};
  }
  [[nodiscard]] Purpose purpose(uint32_t sequence) const { return slots_[sequence & (kPeriod - 1)].purpose; }
  [[nodiscard]] uint32_t connections() const { return connections_; }
  /// Of a whole period: the mean length of frames, without the wire's checksum.
  [[nodiscard]] double mean_bytes() const;

 private:
  /// In half of the slots connections come in turn, in the others at random.
  static constexpr uint32_t kInTurn = kPeriod / 2;

  struct Slot {
    const FrameTemplate* frame;
    uint32_t number;
    Purpose purpose;
  };

  uint32_t connections_;
  std::vector<Slot> slots_;
};

}  // namespace tails::fastpath::bench
