#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "fastpath/flow_entry.h"
#include "fastpath/memory.h"
#include "net/flow_model.h"
#include "net/result.h"

namespace tails::fastpath {

/// The flows of one lcore: buckets of four entries, one line of cache each. A flow lives in the bucket that its hash
/// names, or, when that is full, in a second one; a bucket that sent a flow away says so, and only then is the second
/// looked at. When both are full, a flow in one of them moves to its own other bucket.
///
/// Invariants: no key is there twice. A flow's last tick is at most its timeout away, so 16 bits tell past from future
/// as long as every entry is visited within nine hours; `sweep` and `set_time` see to that. Memory is what was given
/// at the start and never grows. One thread.
class FlowTable {
 public:
  static constexpr size_t kEntriesPerBucket = FlowBucket::kEntries;

  struct Place {
    FlowEntry* entry = nullptr;      ///< Nullptr: no room; everything nearby is established.
    std::optional<FlowKey> evicted;  ///< A flow that was never answered, or is over, and had to go.
    bool moved = false;              ///< Another flow is in another entry now.
  };

  /// Bytes for a table that serves `flows` well: at most half full with them, at least two buckets.
  static size_t bytes_for(size_t flows);
  /// The largest table of 2^n buckets that fits the memory, from two buckets to 2^27 (8 GiB). `seed`: unpredictable, so
  /// that nobody can choose addresses that meet in a bucket.
  FlowTable(Memory memory, uint64_t seed);

  /// Seconds from any start, never backwards. Costs a walk over the table when the sweep did not get round within some
  /// hours, or time jumped that far.
  void set_time(uint64_t seconds);

  [[nodiscard]] uint64_t hash(const FlowKey& key) const { return search_.hash(key); }
  /// Into the second-level cache: a burst asks for more lines at once than the first one can wait for.
  void prefetch(uint64_t hash) const { __builtin_prefetch(&search_.buckets[search_.first_bucket(hash)], 0, 2); }
  /// The entry with that key, living or over; nullptr where there is none. Valid until the next `insert` or `sweep`.
  [[nodiscard]] FlowEntry* find(const FlowKey& key, uint64_t hash) const;

  /// What differs there is not the flow.
  [[nodiscard]] static bool is(const FlowEntry& entry, const FlowKey& key) { return entry.key() == key; }
  [[nodiscard]] bool lives(const FlowEntry& entry) const { return search_.lives(entry.state); }
  /// What lookups outside of this class need. Valid until the next change of time or generation.
  [[nodiscard]] const FlowSearch& search() const { return search_; }

  /// A new flow, or one that starts again in its old entry. `phase` is its first.
  Place insert(const FlowKey& key, uint64_t hash, Side opener, uint8_t owner, Phase phase);
  /// The flow is in `phase` now; with `refreshes` its timeout starts again. kNone forgets it.
  void update(FlowEntry& entry, Phase phase, bool refreshes);
  void forget(FlowEntry& entry);
  /// Generations: entries made before the last `next_generation` are to be judged anew, by whoever meets them or by
  /// the sweep. Two can be told apart, so the next may come only when the sweep has met all old ones.
  void next_generation();
  [[nodiscard]] bool may_start_generation() const { return swept_since_generation_ >= bucket_count(); }
  [[nodiscard]] bool is_current(const FlowEntry& entry) const { return entry.generation() == search_.generation; }
  void set_current(FlowEntry& entry) const {
    entry.state = (entry.state & ~FlowEntry::kGeneration) | search_.generation << 15;
  }

  /// Visits the next `buckets` buckets: forgets flows that are over, and those of an older generation for which
  /// `keep(entry)` is false. Going round again and again it also forgets which buckets overflowed long ago.
  template <class Keep>
  void sweep(size_t buckets, Keep&& keep);

  [[nodiscard]] size_t bucket_count() const { return size_t{search_.mask} + 1; }
  [[nodiscard]] size_t capacity() const { return bucket_count() * kEntriesPerBucket; }
  /// Entries in use; those that are over count until they are met.
  [[nodiscard]] size_t size() const { return size_; }
  /// Buckets that send lookups on to a second one.
  [[nodiscard]] size_t overflowed_buckets() const;

 private:
  [[nodiscard]] FlowBucket& first(uint64_t hash) const { return search_.buckets[search_.first_bucket(hash)]; }
  [[nodiscard]] FlowBucket& second(uint64_t hash) const { return search_.buckets[search_.second_bucket(hash)]; }
  /// Ticks until the flow is over; below zero when it is.
  [[nodiscard]] int ticks_left(const FlowEntry& entry) const {
    return static_cast<int16_t>(entry.last_tick() - search_.now_ticks[static_cast<size_t>(entry.phase())]);
  }
  [[nodiscard]] FlowEntry* room_in(FlowBucket& bucket) const;
  FlowEntry* displace_from(FlowBucket& bucket);
  static void mark_overflow(FlowBucket& bucket);
  [[nodiscard]] FlowEntry* evictable(FlowBucket& first, FlowBucket& second) const;
  void sweep_overflow(FlowBucket& bucket, size_t index);
  void count_ticks();
  void end_of_round();
  void forget_over_by(uint64_t seconds);

  Memory memory_;
  FlowSearch search_{};
  uint16_t lifetimes_[kFlowClassCount * 16] = {};  ///< In ticks, by class and phase.
  uint64_t seconds_ = 0;
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

inline FlowEntry* FlowTable::find(const FlowKey& key, uint64_t hash) const {
  FlowBucket* bucket = &first(hash);
  uint32_t places = places_of(*bucket, key);
  if (places == 0) {
    if (!bucket->overflowed()) return nullptr;
    bucket = &second(hash);
    places = places_of(*bucket, key);
    if (places == 0) return nullptr;
  }
  return &bucket->entries[__builtin_ctz(places)];
}

template <class Keep>
void FlowTable::sweep(size_t buckets, Keep&& keep) {
  for (; buckets > 0; --buckets) {
    FlowBucket& bucket = search_.buckets[sweep_at_];
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
