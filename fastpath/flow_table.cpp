#include "fastpath/flow_table.h"

#include <algorithm>
#include <bit>
#include <cassert>

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
  return std::max<size_t>(std::bit_ceil(2 * flows) / kEntriesPerBucket, 2) * sizeof(FlowBucket);
}

FlowTable::FlowTable(Memory memory, uint64_t seed) : memory_(std::move(memory)) {
  search_.buckets = static_cast<FlowBucket*>(memory_.data());
  search_.mask = static_cast<uint32_t>(
      std::min<uint64_t>(std::bit_floor(memory_.bytes() / sizeof(FlowBucket)), FlowSearch::kMaxBuckets) - 1);
  search_.seeds = HashSeeds::of(seed);
  assert(bucket_count() >= 2);
  for (unsigned c = 1; c < kFlowClassCount; ++c) {
    for (unsigned p = 0; p < flow_model::kPhaseCount; ++p) {
      const auto phase = static_cast<Phase>(p);
      lifetimes_[c * 16 + p] =
          static_cast<uint16_t>(flow_model::timeout_seconds(kProtocolOf[c], phase) / flow_model::tick_seconds(phase));
    }
  }
  swept_since_generation_ = bucket_count();
  count_ticks();
}

void FlowTable::set_time(uint64_t seconds) {
  if (seconds == seconds_) return;
  // Since the round before this one began, every entry was visited.
  if (seconds - previous_round_started_ > kHorizon) {
    forget_over_by(seconds);
    previous_round_started_ = round_started_ = seconds;
  }
  seconds_ = seconds;
  count_ticks();
}

void FlowTable::count_ticks() {
  for (unsigned p = 0; p < flow_model::kPhaseCount; ++p) {
    search_.now_ticks[p] = static_cast<uint16_t>(seconds_ / flow_model::tick_seconds(static_cast<Phase>(p)));
  }
  for (unsigned i = 0; i < kFlowClassCount * 16; ++i) {
    search_.fresh_ticks[i] = static_cast<uint16_t>(search_.now_ticks[i % 16] + lifetimes_[i]);
  }
  for (unsigned low = 0; low < FlowSearch::kExpectations; ++low) {
    const unsigned flow_class = low & FlowEntry::kClassMask;
    const unsigned phase = low >> FlowEntry::kPhaseShift & 0xF;
    const bool by_inside = (low >> FlowEntry::kOpenerShift & 1) == static_cast<unsigned>(Side::kInside);
    // A flow of the inside that is not TCP keeps its owner.
    const bool has_owner = by_inside && phase != 0 && flow_class != static_cast<unsigned>(FlowClass::kTcp);
    search_.expected[low] = {
        uint32_t{search_.fresh_ticks[flow_class * 16 + phase]} << FlowEntry::kTickShift | search_.generation << 15,
        0xFFFF8000U | (has_owner ? FlowEntry::kOwnerMask : 0U)};
  }
}

/// A free entry of the bucket, or one whose flow is over.
FlowEntry* FlowTable::room_in(FlowBucket& bucket) const {
  for (FlowEntry& entry : bucket.entries) {
    if (entry.is_free() || !lives(entry)) return &entry;
  }
  return nullptr;
}

/// Makes room in a full bucket by sending one of its flows to that flow's other bucket. Nullptr where all of those are
/// full too.
FlowEntry* FlowTable::displace_from(FlowBucket& bucket) {
  for (FlowEntry& entry : bucket.entries) {
    const uint64_t entry_hash = hash(entry.key());
    const bool is_in_first = &first(entry_hash) == &bucket;
    FlowEntry* room = room_in(is_in_first ? second(entry_hash) : first(entry_hash));
    if (room == nullptr) continue;
    if (!room->is_free()) --size_;  // its flow is over
    *room = {entry.ends, entry.ports, (entry.state & ~FlowEntry::kOverflow) | (room->state & FlowEntry::kOverflow)};
    if (is_in_first) mark_overflow(bucket);
    entry = {0, 0, entry.state & FlowEntry::kOverflow};
    return &entry;
  }
  return nullptr;
}

void FlowTable::mark_overflow(FlowBucket& bucket) {
  bucket.entries[0].state |= FlowEntry::kOverflow;
  bucket.entries[1].state |= FlowEntry::kOverflow;
}

/// The flow of both buckets that can best be spared of those that may go; nullptr where none may. First what is over
/// anyway, then whoever waits longest for an answer, last who has one: by the time that is left whoever is just
/// connecting would go before the SYNs of a flood, which have more of it.
FlowEntry* FlowTable::evictable(FlowBucket& first, FlowBucket& second) const {
  constexpr int kClassOfItsOwn = 0x10000;
  FlowEntry* found = nullptr;
  int most = -2 * kClassOfItsOwn;
  for (FlowBucket* bucket : {&first, &second}) {
    for (FlowEntry& entry : bucket->entries) {
      const Phase phase = entry.phase();
      if (!may_be_evicted(phase)) continue;
      const auto fresh = search_.fresh_ticks[(entry.state & FlowEntry::kClassMask) * 16 + static_cast<size_t>(phase)];
      int spare = static_cast<int16_t>(fresh - entry.last_tick());  // seconds since its last packet
      if (phase == Phase::kTimeWait || phase == Phase::kClosed) spare += kClassOfItsOwn;
      if (phase == Phase::kSynReceived) spare -= kClassOfItsOwn;
      if (spare <= most) continue;
      most = spare;
      found = &entry;
    }
  }
  return found;
}

FlowTable::Place FlowTable::insert(const FlowKey& key, uint64_t hash, Side opener, uint8_t owner, Phase phase) {
  Place place;
  FlowBucket& one = first(hash);
  FlowBucket& two = second(hash);
  place.entry = find(key, hash);
  if (place.entry == nullptr) place.entry = room_in(one);
  if (place.entry == nullptr) place.entry = room_in(two);
  if (place.entry == nullptr) {
    place.entry = displace_from(one);
    if (place.entry == nullptr) place.entry = displace_from(two);
    place.moved = place.entry != nullptr;
  }
  if (place.entry == nullptr) {
    place.entry = evictable(one, two);
    if (place.entry == nullptr) return place;
    place.evicted = place.entry->key();
  }
  FlowEntry& entry = *place.entry;
  if (&entry >= two.entries && &entry < two.entries + kEntriesPerBucket) mark_overflow(one);
  if (entry.is_free()) ++size_;
  entry.ends = key.ends;
  entry.ports = static_cast<uint32_t>(key.rest);
  entry.state = (entry.state & FlowEntry::kOverflow) | static_cast<uint32_t>(key.flow_class()) |
                static_cast<uint32_t>(opener) << FlowEntry::kOpenerShift | uint32_t{owner} << FlowEntry::kOwnerShift |
                search_.generation << 15;
  update(entry, phase, true);
  return place;
}

void FlowTable::update(FlowEntry& entry, Phase phase, bool refreshes) {
  if (phase == Phase::kNone) {
    forget(entry);
    return;
  }
  const auto p = static_cast<uint32_t>(phase);
  uint32_t state = (entry.state & ~FlowEntry::kPhaseMask) | p << FlowEntry::kPhaseShift;
  if (refreshes) {
    const uint16_t last = search_.fresh_ticks[(state & FlowEntry::kClassMask) * 16 + p];
    state = (state & 0xFFFF) | uint32_t{last} << FlowEntry::kTickShift;
  }
  // A line of cache that is written must travel back to memory; most packets of a flow change nothing.
  if (state != entry.state) entry.state = state;
}

void FlowTable::forget(FlowEntry& entry) {
  if (entry.is_free()) return;
  --size_;
  entry = {0, 0, entry.state & FlowEntry::kOverflow};
}

void FlowTable::next_generation() {
  assert(may_start_generation());
  search_.generation ^= 1;
  count_ticks();
  swept_since_generation_ = 0;
}

void FlowTable::sweep_overflow(FlowBucket& bucket, size_t index) {
  if (!round_marks_) {
    bucket.entries[rebuilt_bit_].state &= ~FlowEntry::kOverflow;
    return;
  }
  for (const FlowEntry& entry : bucket.entries) {
    if (entry.is_free()) continue;
    const size_t first_index = search_.first_bucket(hash(entry.key()));
    if (first_index != index) search_.buckets[first_index].entries[rebuilt_bit_].state |= FlowEntry::kOverflow;
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
    for (FlowEntry& entry : search_.buckets[i].entries) {
      if (entry.is_free()) continue;
      const uint32_t tick = flow_model::tick_seconds(entry.phase());
      const uint64_t passing = seconds / tick - seconds_ / tick;
      const int left = ticks_left(entry);
      if (left < 0 || passing > static_cast<uint64_t>(left)) forget(entry);
    }
  }
}

size_t FlowTable::overflowed_buckets() const {
  return static_cast<size_t>(std::count_if(search_.buckets, search_.buckets + bucket_count(),
                                           [](const FlowBucket& bucket) { return bucket.overflowed(); }));
}

}  // namespace tails::fastpath
