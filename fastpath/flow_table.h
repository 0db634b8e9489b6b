#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "fastpath/flow_key.h"
#include "fastpath/memory.h"
#include "net/flow_model.h"
#include "net/result.h"

namespace tails::fastpath {

using flow_model::Phase;

/// A flow as the table keeps it: the key, and in its last word what is known of the flow.
struct alignas(16) FlowEntry {
  uint32_t inside;
  uint32_t outside;
  uint32_t ports;  ///< As FlowKey's two.
  /// Bits: class 0–2, bucket's overflow 3, phase 4–7, opened by the outside 8, owner 9–14, generation 15, the last tick
  /// in which it lives 16–31. Zero but for bit 3: the entry is free.
  uint32_t state;

  static constexpr uint32_t kClassMask = 0x7, kOverflow = 0x8;

  [[nodiscard]] bool is_free() const { return (state & kClassMask) == 0; }
  [[nodiscard]] Phase phase() const { return static_cast<Phase>(state >> 4 & 0xF); }
  [[nodiscard]] Side opener() const { return static_cast<Side>(state >> 8 & 1); }
  [[nodiscard]] uint8_t owner() const { return static_cast<uint8_t>(state >> 9 & 0x3F); }
  [[nodiscard]] unsigned generation() const { return state >> 15 & 1; }
  [[nodiscard]] uint16_t last_tick() const { return static_cast<uint16_t>(state >> 16); }
  [[nodiscard]] FlowKey key() const {
    return {inside, outside, static_cast<uint16_t>(ports & 0xFFFF), static_cast<uint16_t>(ports >> 16),
            state & kClassMask};
  }
};
static_assert(sizeof(FlowEntry) == 16);

/// The flows of one lcore: buckets of four entries, one line of cache each. A flow lives in the bucket that its hash
/// names, or, when that is full, in a second one; a bucket that sent a flow away says so, and only then is the second
/// looked at.
///
/// Invariants: no key is there twice. A flow's last tick is at most its timeout away, so 16 bits tell past from future
/// as long as every entry is visited within nine hours; `sweep` and `set_time` see to that. Memory is what was given
/// at the start and never grows. One thread.
class FlowTable {
 public:
  static constexpr size_t kEntriesPerBucket = 4;

  struct Place {
    FlowEntry* entry = nullptr;      ///< Nullptr: no room; everything nearby is established.
    std::optional<FlowKey> evicted;  ///< A flow that was never answered, or is over, and had to go.
  };

  /// Bytes for a table that serves `flows` well: at most half full with them, at least two buckets.
  static size_t bytes_for(size_t flows);
  /// The largest table of 2^n buckets that fits the memory, at least two buckets. `seed`: unpredictable, so that nobody
  /// can choose addresses that meet in a bucket.
  FlowTable(Memory memory, uint64_t seed);

  /// Seconds from any start, never backwards. Costs a walk over the table when the sweep did not get round within some
  /// hours, or time jumped that far.
  void set_time(uint64_t seconds);
  [[nodiscard]] uint64_t time() const { return seconds_; }

  [[nodiscard]] uint64_t hash(const FlowKey& key) const {
    const auto words = std::bit_cast<std::array<uint64_t, 2>>(key);
    const __uint128_t product = static_cast<__uint128_t>(words[0] ^ seed_[0]) * (words[1] ^ seed_[1]);
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
  void prefetch(uint64_t hash) const { __builtin_prefetch(&buckets_[first_bucket(hash)], 1); }
  /// The entry with that key, living or over; nullptr where there is none. Valid until the next `insert` or `sweep`.
  [[nodiscard]] FlowEntry* find(const FlowKey& key, uint64_t hash) const;
  /// For `find`'s last lines: what differs there is not the flow.
  [[nodiscard]] static bool is(const FlowEntry& entry, const FlowKey& key);

  [[nodiscard]] bool lives(const FlowEntry& entry) const {
    return static_cast<int16_t>(entry.last_tick() - now_tick(entry.phase())) >= 0;
  }

  /// A new flow, or one that starts again in its old entry. `phase` is its first.
  Place insert(const FlowKey& key, uint64_t hash, Side opener, uint8_t owner, Phase phase);
  /// The flow is in `phase` now; with `refreshes` its timeout starts again. kNone forgets it.
  void update(FlowEntry& entry, Phase phase, bool refreshes);
  void forget(FlowEntry& entry);
  /// The flow lives its whole timeout from now on.
  void refresh(FlowEntry& entry) const {
    const auto p = static_cast<size_t>(entry.phase());
    const auto last = static_cast<uint16_t>(now_ticks_[p] + lifetimes_[entry.state & FlowEntry::kClassMask][p]);
    entry.state = (entry.state & 0xFFFF) | uint32_t{last} << 16;
  }
  void set_owner(FlowEntry& entry, uint8_t owner) {
    entry.state = (entry.state & ~(0x3FU << 9)) | uint32_t{owner} << 9;
  }

  /// Generations: entries made before the last `next_generation` are to be judged anew, by whoever meets them or by
  /// the sweep. Two can be told apart, so the next may come only when the sweep has met all old ones.
  void next_generation();
  [[nodiscard]] bool may_start_generation() const { return swept_since_generation_ >= bucket_count(); }
  [[nodiscard]] bool is_current(const FlowEntry& entry) const { return entry.generation() == generation_; }
  void set_current(FlowEntry& entry) const { entry.state = (entry.state & ~(1U << 15)) | generation_ << 15; }

  /// Visits the next `buckets` buckets: forgets flows that are over, and those of an older generation for which
  /// `keep(entry)` is false. Going round again and again it also forgets which buckets overflowed long ago.
  template <class Keep>
  void sweep(size_t buckets, Keep&& keep);

  [[nodiscard]] size_t bucket_count() const { return mask_ + 1; }
  [[nodiscard]] size_t capacity() const { return bucket_count() * kEntriesPerBucket; }
  /// Entries in use; those that are over count until they are met.
  [[nodiscard]] size_t size() const { return size_; }
  /// Buckets that send lookups on to a second one.
  [[nodiscard]] size_t overflowed_buckets() const;

 private:
  struct alignas(64) Bucket {
    FlowEntry entries[kEntriesPerBucket];
    [[nodiscard]] bool overflowed() const {
      return ((entries[0].state | entries[1].state) & FlowEntry::kOverflow) != 0;
    }
  };

  [[nodiscard]] size_t first_bucket(uint64_t hash) const { return hash & mask_; }
  [[nodiscard]] size_t second_bucket(uint64_t hash) const {
    const size_t second = hash >> 32 & mask_;
    return second == first_bucket(hash) ? second ^ 1 : second;
  }
  [[nodiscard]] uint16_t now_tick(Phase phase) const { return now_ticks_[static_cast<size_t>(phase)]; }
  [[nodiscard]] FlowEntry* room_in(Bucket& bucket) const;
  void sweep_overflow(Bucket& bucket, size_t index);
  void end_of_round();
  void forget_over_by(uint64_t seconds);

  Memory memory_;
  Bucket* buckets_;
  size_t mask_;
  uint64_t seed_[2];
  uint64_t seconds_ = 0;
  uint16_t now_ticks_[16] = {};
  uint16_t lifetimes_[kFlowClassCount][16] = {};  ///< In ticks, by class and phase.
  unsigned generation_ = 0;
  size_t size_ = 0;

  // The sweep. Two bits tell that a bucket overflowed, in its first and second entry. One is whole at any time, while
  // the other is cleared in one round and set anew in the next; inserting sets both, looking up asks either.
  size_t sweep_at_ = 0;
  size_t swept_since_generation_ = 0;
  bool round_marks_ = false;  ///< Else it clears.
  unsigned rebuilt_bit_ = 0;  ///< The entry whose bit is not whole.
  uint64_t round_started_ = 0;
  uint64_t previous_round_started_ = 0;
};

template <class Keep>
void FlowTable::sweep(size_t buckets, Keep&& keep) {
  for (; buckets > 0; --buckets) {
    Bucket& bucket = buckets_[sweep_at_];
    for (FlowEntry& entry : bucket.entries) {
      if (entry.is_free()) continue;
      if (!lives(entry)) {
        forget(entry);
      } else if (!is_current(entry)) {
        if (keep(static_cast<const FlowEntry&>(entry))) {
          set_current(entry);
        } else {
          forget(entry);
        }
      }
    }
    sweep_overflow(bucket, sweep_at_);
    ++swept_since_generation_;
    if (++sweep_at_ == bucket_count()) end_of_round();
  }
}

}  // namespace tails::fastpath
