#include "fastpath/flow_table.h"

#include <emmintrin.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

namespace tails::fastpath {
namespace {

constexpr uint8_t kProtocolOf[kFlowClassCount] = {
    0, protocol::kTcp, protocol::kUdp, protocol::kIcmp, protocol::kUdplite, protocol::kSctp, protocol::kDccp, 255};

/// A tick that is 32,768 or more in the past looks like the future. Nothing that is over stays for so long: every
/// entry is visited within this many seconds, which are ticks of the shortest kind.
constexpr uint64_t kHorizon = 32000;

/// Phases whose flow may go when there is no room: nobody answered, or both sides are done. As the kernel's early_drop.
constexpr bool may_be_evicted(Phase phase) {
  switch (phase) {
    case Phase::kSynSent:
    case Phase::kSynAnswered:
    case Phase::kSynSent2:
    case Phase::kSynReceived:
    case Phase::kTimeWait:
    case Phase::kClosed:
    case Phase::kUnreplied: return true;
    default: return false;
  }
}

}  // namespace

size_t FlowTable::bytes_for(size_t flows) {
  return std::max<size_t>(std::bit_ceil(2 * flows) / kEntriesPerBucket, 2) * sizeof(Bucket);
}

FlowTable::FlowTable(Memory memory, uint64_t seed)
    : memory_(std::move(memory)),
      buckets_(static_cast<Bucket*>(memory_.data())),
      mask_(std::bit_floor(memory_.bytes() / sizeof(Bucket)) - 1),
      // Odd and never zero, whatever the seed.
      seed_{seed ^ 0x9E3779B97F4A7C15U, std::rotl(seed, 32) * 0xD6E8FEB86659FD93U | 1} {
  assert(bucket_count() >= 2);
  for (unsigned c = 1; c < kFlowClassCount; ++c) {
    for (unsigned p = 0; p < flow_model::kPhaseCount; ++p) {
      const auto phase = static_cast<Phase>(p);
      lifetimes_[c][p] =
          static_cast<uint16_t>(flow_model::timeout_seconds(kProtocolOf[c], phase) / flow_model::tick_seconds(phase));
    }
  }
  swept_since_generation_ = bucket_count();
}

void FlowTable::set_time(uint64_t seconds) {
  if (seconds == seconds_) return;
  // Since the round before this one began, every entry was visited.
  if (seconds - previous_round_started_ > kHorizon) {
    forget_over_by(seconds);
    previous_round_started_ = round_started_ = seconds;
  }
  seconds_ = seconds;
  for (unsigned p = 0; p < flow_model::kPhaseCount; ++p) {
    now_ticks_[p] = static_cast<uint16_t>(seconds_ / flow_model::tick_seconds(static_cast<Phase>(p)));
  }
}

FlowEntry* FlowTable::find(const FlowKey& key, uint64_t hash) const {
  const __m128i wanted = _mm_load_si128(reinterpret_cast<const __m128i*>(&key));
  const __m128i mask = _mm_set_epi32(FlowEntry::kClassMask, -1, -1, -1);
  const auto search = [&](size_t index) -> FlowEntry* {
    Bucket& bucket = buckets_[index];
    const auto equal = [&](size_t i) {
      const __m128i entry = _mm_load_si128(reinterpret_cast<const __m128i*>(&bucket.entries[i]));
      return _mm_cmpeq_epi32(_mm_and_si128(entry, mask), wanted);
    };
    // One bit per word; an entry is the key where all four are set.
    const __m128i low = _mm_packs_epi32(equal(0), equal(1));
    const __m128i high = _mm_packs_epi32(equal(2), equal(3));
    const auto words = static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(low, high)));
    const uint32_t pairs = words & words >> 1;
    const uint32_t entries = pairs & pairs >> 2 & 0x1111;
    return entries == 0 ? nullptr : &bucket.entries[static_cast<size_t>(std::countr_zero(entries)) / 4];
  };
  const size_t first = first_bucket(hash);
  if (FlowEntry* entry = search(first)) return entry;
  return buckets_[first].overflowed() ? search(second_bucket(hash)) : nullptr;
}

bool FlowTable::is(const FlowEntry& entry, const FlowKey& key) { return entry.key() == key; }

/// A free entry of the bucket, or one whose flow is over.
FlowEntry* FlowTable::room_in(Bucket& bucket) const {
  for (FlowEntry& entry : bucket.entries) {
    if (entry.is_free() || !lives(entry)) return &entry;
  }
  return nullptr;
}

FlowTable::Place FlowTable::insert(const FlowKey& key, uint64_t hash, Side opener, uint8_t owner, Phase phase) {
  Place place;
  place.entry = find(key, hash);
  Bucket& first = buckets_[first_bucket(hash)];
  if (place.entry == nullptr) place.entry = room_in(first);
  if (place.entry == nullptr) {
    Bucket& second = buckets_[second_bucket(hash)];
    place.entry = room_in(second);
    if (place.entry == nullptr) {
      int soonest = 0x7FFF;
      for (Bucket* bucket : {&first, &second}) {
        for (FlowEntry& entry : bucket->entries) {
          const int left = static_cast<int16_t>(entry.last_tick() - now_tick(entry.phase()));
          if (!may_be_evicted(entry.phase()) || left >= soonest) continue;
          soonest = left;
          place.entry = &entry;
        }
      }
      if (place.entry == nullptr) return place;
      place.evicted = place.entry->key();
    }
    const auto* begin = second.entries;
    if (place.entry >= begin && place.entry < begin + kEntriesPerBucket) {
      first.entries[0].state |= FlowEntry::kOverflow;
      first.entries[1].state |= FlowEntry::kOverflow;
    }
  }
  FlowEntry& entry = *place.entry;
  if (entry.is_free()) ++size_;
  entry.inside = key.inside;
  entry.outside = key.outside;
  entry.ports = uint32_t{key.outside_port} << 16 | key.inside_port;
  entry.state = (entry.state & FlowEntry::kOverflow) | key.flow_class | static_cast<uint32_t>(opener) << 8 |
                uint32_t{owner} << 9 | generation_ << 15;
  update(entry, phase, true);
  return place;
}

void FlowTable::update(FlowEntry& entry, Phase phase, bool refreshes) {
  if (phase == Phase::kNone) {
    forget(entry);
    return;
  }
  FlowEntry next = entry;
  next.state = (entry.state & ~0xF0U) | static_cast<uint32_t>(phase) << 4;
  if (refreshes) refresh(next);
  // A line of cache that is written must travel back to memory; most packets of a flow change nothing.
  if (next.state != entry.state) entry.state = next.state;
}

void FlowTable::forget(FlowEntry& entry) {
  if (entry.is_free()) return;
  --size_;
  entry = {0, 0, 0, entry.state & FlowEntry::kOverflow};
}

void FlowTable::next_generation() {
  assert(may_start_generation());
  generation_ ^= 1;
  swept_since_generation_ = 0;
}

void FlowTable::sweep_overflow(Bucket& bucket, size_t index) {
  if (!round_marks_) {
    bucket.entries[rebuilt_bit_].state &= ~FlowEntry::kOverflow;
    return;
  }
  for (const FlowEntry& entry : bucket.entries) {
    if (entry.is_free()) continue;
    const size_t first = first_bucket(hash(entry.key()));
    if (first != index) buckets_[first].entries[rebuilt_bit_].state |= FlowEntry::kOverflow;
  }
}

void FlowTable::end_of_round() {
  sweep_at_ = 0;
  previous_round_started_ = round_started_;
  round_started_ = seconds_;
  if (round_marks_) rebuilt_bit_ ^= 1;
  round_marks_ = !round_marks_;
}

/// Forgets every flow that will be over at `seconds`, however far ahead that is: what is left of each is told by the
/// ticks of the last call, which do not lie yet.
void FlowTable::forget_over_by(uint64_t seconds) {
  for (size_t i = 0; i < bucket_count(); ++i) {
    for (FlowEntry& entry : buckets_[i].entries) {
      if (entry.is_free()) continue;
      const uint32_t tick = flow_model::tick_seconds(entry.phase());
      const uint64_t passing = seconds / tick - seconds_ / tick;
      const auto left = static_cast<int16_t>(entry.last_tick() - now_tick(entry.phase()));
      if (left < 0 || passing > static_cast<uint64_t>(left)) forget(entry);
    }
  }
}

size_t FlowTable::overflowed_buckets() const {
  return static_cast<size_t>(
      std::count_if(buckets_, buckets_ + bucket_count(), [](const Bucket& bucket) { return bucket.overflowed(); }));
}

}  // namespace tails::fastpath
