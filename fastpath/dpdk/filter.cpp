#include "fastpath/dpdk/filter.h"

#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_pause.h>

#include <chrono>
#include <cstring>
#include <ctime>
#include <random>
#include <thread>

namespace tails::fastpath::dpdk {
namespace {

/// Rounds without a frame before the thread rests, and for how long.
constexpr unsigned kIdleRounds = 200;
constexpr std::chrono::microseconds kRest{50};
/// Tries to send before what passed is given up: the other end does not take it.
constexpr unsigned kSendTries = 1000;

uint64_t monotonic_ns() {
  timespec now{};
  // Of a clock that stands still while the machine sleeps, like the kernel's timeouts; within some milliseconds.
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t random_seed() {
  std::random_device random;
  return uint64_t{random()} << 32 | random();
}

uint8_t known_good(const rte_mbuf& frame) {
  const bool ip = (frame.ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;
  const bool transport = (frame.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
  return static_cast<uint8_t>((ip ? Burst::kIpChecksumGood : 0) | (transport ? Burst::kTransportChecksumGood : 0));
}

}  // namespace

Result<std::unique_ptr<Filter>> Filter::make(Port inside, Port outside, const PacketPool& pool,
                                             std::shared_ptr<const FilterRules> rules, const Options& options) {
  auto memory = Memory::map(FlowTable::bytes_for(options.flows));
  if (!memory) return tl::unexpected(memory.error());
  return std::unique_ptr<Filter>(new Filter(std::move(inside), std::move(outside), pool, std::move(rules),
                                            FlowTable(*std::move(memory), random_seed()), options));
}

Filter::Filter(Port inside, Port outside, const PacketPool& pool, std::shared_ptr<const FilterRules> rules,
               FlowTable flows, const Options& options)
    : ports_{std::move(inside), std::move(outside)},
      pool_(&pool),
      options_(options),
      pipeline_(std::move(rules), std::move(flows)) {
  kept_.policies = 1;
}

void Filter::run(const std::atomic<bool>& stop) {
  unsigned idle = 0;
  while (!stop.load(std::memory_order_relaxed)) {
    if (poll() != 0) {
      idle = 0;
    } else if (++idle >= kIdleRounds && !options_.spins) {
      std::this_thread::sleep_for(kRest);
    } else {
      rte_pause();
    }
  }
}

unsigned Filter::poll() {
  now_ns_ = monotonic_ns();
  pipeline_.set_time(now_ns_ / 1'000'000'000);
  if (has_new_rules_.load(std::memory_order_acquire)) [[unlikely]]
    take_rules();
  const unsigned frames = forward(Side::kInside) + forward(Side::kOutside);
  if (frames == 0) pipeline_.sweep(64);
  return frames;
}

/// Readies the burst. What cannot be handled in one piece is dropped; the number that is left.
unsigned Filter::fill(rte_mbuf** frames, unsigned count) {
  burst_.count = 0;
  for (unsigned i = 0; i < count; ++i) {
    rte_mbuf* frame = frames[i];
    // A driver that took a VLAN tag out hides what the policy must see.
    if ((frame->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0 && rte_vlan_insert(&frame) != 0) [[unlikely]] {
      rte_pktmbuf_free(frame);
      ++kept_.unusable;
      continue;
    }
    if (frame->nb_segs != 1 || rte_pktmbuf_tailroom(frame) < Burst::kReadable) [[unlikely]] {
      rte_pktmbuf_free(frame);
      ++kept_.unusable;
      continue;
    }
    const unsigned n = burst_.count++;
    frames[n] = frame;
    burst_.data[n] = rte_pktmbuf_mtod(frame, std::byte*);
    burst_.length[n] = frame->data_len;
    burst_.known_good[n] = known_good(*frame);
  }
  return burst_.count;
}

unsigned Filter::forward(Side from) {
  rte_mbuf* frames[kBurst];
  const unsigned received = ports_[static_cast<size_t>(from)].receive(frames, kBurst);
  if (received == 0) return 0;
  kept_.received[static_cast<size_t>(from)] += received;
  for (unsigned i = 0; i < received; ++i) rte_prefetch0(rte_pktmbuf_mtod(frames[i], void*));
  if (fill(frames, received) == 0) return received;
  pipeline_.process(from, burst_);

  rte_mbuf* passed[kBurst];
  for (unsigned p = 0; p < burst_.passed_count; ++p) {
    const unsigned i = burst_.passed[p];
    if (burst_.trim[i] != 0) rte_pktmbuf_adj(frames[i], burst_.trim[i]);
    frames[i]->ol_flags = 0;
    passed[p] = frames[i];
  }
  const auto to = static_cast<size_t>(flow_model::other(from));
  unsigned sent = 0;
  for (unsigned tries = 0; sent < burst_.passed_count && tries < kSendTries; ++tries) {
    sent += ports_[to].send(passed + sent, burst_.passed_count - sent);
  }
  kept_.sent[to] += sent;
  if (sent < burst_.passed_count) [[unlikely]] {
    kept_.not_sent += burst_.passed_count - sent;
    rte_pktmbuf_free_bulk(passed + sent, burst_.passed_count - sent);
  }
  if (burst_.dropped_count == 0) return received;
  if (options_.answers && from == Side::kInside) refuse(from, frames);
  rte_mbuf* dropped[kBurst];
  for (unsigned d = 0; d < burst_.dropped_count; ++d) dropped[d] = frames[burst_.dropped[d]];
  rte_pktmbuf_free_bulk(dropped, burst_.dropped_count);
  return received;
}

/// Answers what the rules reject, before it is freed.
void Filter::refuse(Side from, rte_mbuf** frames) {
  const VerdictTable& verdicts = pipeline_.rules().wire().verdicts;
  for (unsigned d = 0; d < burst_.dropped_count; ++d) {
    const unsigned i = burst_.dropped[d];
    if (burst_.outcome[i] != Outcome::kBlocked || verdicts[burst_.verdict[i]].verdict != Verdict::kReject) continue;
    std::byte refusal[kMaxRefusalBytes];
    const auto* data = rte_pktmbuf_mtod_offset(frames[i], const std::byte*, burst_.trim[i]);
    const size_t length = write_refusal({data, size_t{burst_.length[i]} - burst_.trim[i]}, refusal);
    if (length == 0) continue;
    if (!refusal_limit_.take(now_ns_)) return;
    rte_mbuf* answer = rte_pktmbuf_alloc(pool_->get());
    if (answer == nullptr) return;
    std::byte* at = rte_pktmbuf_mtod(answer, std::byte*);
    constexpr size_t kLeast = 60;
    std::memcpy(at, refusal, length);
    if (length < kLeast) std::memset(at + length, 0, kLeast - length);
    answer->data_len = static_cast<uint16_t>(std::max(length, kLeast));
    answer->pkt_len = answer->data_len;
    if (ports_[static_cast<size_t>(from)].send(&answer, 1) == 1) {
      ++kept_.refusals;
    } else {
      rte_pktmbuf_free(answer);
    }
  }
}

void Filter::set_rules(std::shared_ptr<const FilterRules> rules) {
  const std::lock_guard lock(mutex_);
  new_rules_ = std::move(rules);
  has_new_rules_.store(true, std::memory_order_release);
}

bool Filter::is_settled() const { return !has_new_rules_.load(std::memory_order_acquire); }

/// While the flows of the last change are not all judged anew, looks after some of them and leaves the rest for later.
void Filter::take_rules() {
  std::shared_ptr<const FilterRules> old;  // Freed when the lock is gone.
  const std::lock_guard lock(mutex_);
  if (!pipeline_.flows().may_start_generation()) {
    pipeline_.sweep(256);
    return;
  }
  Counters counts;
  counts.add(pipeline_.rules().wire(), pipeline_.verdicts());
  for (const auto& [who, count] : counts.entries) kept_.entries[who].add(count);
  old = pipeline_.shared_rules();
  pipeline_.set_rules(std::move(new_rules_));
  new_rules_.reset();
  ++kept_.policies;
  has_new_rules_.store(false, std::memory_order_release);
}

Counters Filter::counters() const {
  const std::lock_guard lock(mutex_);
  Counters result = kept_;
  result.outcomes = pipeline_.outcomes();
  result.add(pipeline_.rules().wire(), pipeline_.verdicts());
  result.flows = pipeline_.flows().size();
  result.flow_capacity = pipeline_.flows().capacity();
  result.missed = ports_[0].missed() + ports_[1].missed();
  return result;
}

}  // namespace tails::fastpath::dpdk
