#include "fastpath/dpdk/filter.h"

#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_pause.h>

#include <chrono>
#include <cstring>
#include <ctime>
#include <random>
#include <thread>

#include "fastpath/frame_end.h"

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

/// With zeros behind it up to kLeastFrame. Returns the length.
size_t copy_padded(std::span<const std::byte> frame, std::span<std::byte> to) {
  std::memcpy(to.data(), frame.data(), frame.size());
  if (frame.size() < kLeastFrame) std::memset(to.data() + frame.size(), 0, kLeastFrame - frame.size());
  return std::max(frame.size(), kLeastFrame);
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
  if (options.reassembles) {
    reassembler_ = std::make_unique<Reassembler>(pipeline_.rules().wire().view.owner_source, random_seed());
  }
}

void Filter::run(const std::atomic<bool>& stop) {
  set_running(true);
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
  set_running(false);
}

/// Whoever waits for the loop when it ends looks for himself; by the lock he sees all that it did.
void Filter::set_running(bool is_running) {
  {
    const std::lock_guard lock(mutex_);
    is_running_ = is_running;
  }
  answered_.notify_all();
}

/// One round: what is waiting at both ports, at most a burst each. The number of frames.
unsigned Filter::poll() {
  now_ns_ = monotonic_ns();
  const uint64_t now_seconds = now_ns_ / 1'000'000'000;
  pipeline_.set_time(now_seconds);
  if (reassembler_) reassembler_->set_time(now_seconds);
  if (const unsigned requests = requests_.load(std::memory_order_acquire); requests != 0) [[unlikely]]
    serve(requests);
  const unsigned frames = forward(Side::kInside) + forward(Side::kOutside);
  if (frames == 0) pipeline_.sweep(64);
  return frames;
}

/// Readies the burst. What cannot be handled in one piece is dropped, fragments are held where they are put together;
/// the number that is left.
unsigned Filter::fill(Side from, rte_mbuf** frames, unsigned count) {
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
    if (reassembler_ && reassembler_->take(from, {rte_pktmbuf_mtod(frame, const std::byte*), frame->data_len}, 0,
                                           {(known_good(*frame) & Burst::kIpChecksumGood) == 0, false, 0})) {
      rte_pktmbuf_free(frame);
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
  if (fill(from, frames, received) != 0) {
    pipeline_.process(from, burst_);
    rte_mbuf* passed[kBurst];
    for (unsigned p = 0; p < burst_.passed_count; ++p) {
      const unsigned i = burst_.passed[p];
      if (burst_.trim[i] != 0) rte_pktmbuf_adj(frames[i], burst_.trim[i]);
      frames[i]->ol_flags = 0;
      frames[i]->data_len =
          static_cast<uint16_t>(cut_behind_packet(rte_pktmbuf_mtod(frames[i], std::byte*), frames[i]->data_len));
      frames[i]->pkt_len = frames[i]->data_len;
      passed[p] = frames[i];
    }
    send(flow_model::other(from), passed, burst_.passed_count);
    if (burst_.dropped_count != 0) {
      if (options_.answers && from == Side::kInside) refuse(from, burst_);
      rte_mbuf* dropped[kBurst];
      for (unsigned d = 0; d < burst_.dropped_count; ++d) dropped[d] = frames[burst_.dropped[d]];
      rte_pktmbuf_free_bulk(dropped, burst_.dropped_count);
    }
  }
  if (reassembler_ && reassembler_->has_whole()) judge_whole_packets();
  return received;
}

/// Gives the frames to the port, or up.
void Filter::send(Side to, rte_mbuf** frames, unsigned count) {
  const auto port = static_cast<size_t>(to);
  unsigned sent = 0;
  for (unsigned tries = 0; sent < count && tries < kSendTries; ++tries) {
    sent += ports_[port].send(frames + sent, count - sent);
  }
  kept_.sent[port] += sent;
  if (sent < count) [[unlikely]] {
    kept_.not_sent += count - sent;
    rte_pktmbuf_free_bulk(frames + sent, count - sent);
  }
}

/// Those that became whole by the fragments of the last burst, each as a burst of its own.
void Filter::judge_whole_packets() {
  while (const auto whole = reassembler_->next()) {
    burst_.count = 1;
    burst_.data[0] = whole->frame.data();
    burst_.length[0] = static_cast<uint16_t>(whole->frame.size());
    burst_.known_good[0] = 0;
    pipeline_.process(whole->from, burst_);
    if (burst_.passed_count != 0) {
      send_whole(*whole);
    } else if (options_.answers && whole->from == Side::kInside) {
      refuse(whole->from, burst_);
    }
  }
}

/// In one piece where it fits and nobody forbade it, else in those in which it came: never in more frames than came.
void Filter::send_whole(const Reassembler::Whole& whole) {
  const Side to = flow_model::other(whole.from);
  constexpr size_t kEthernet = 14;
  const std::span<const std::byte> joined = whole.frame.subspan(burst_.trim[0]);
  const bool fits = !whole.says_whole && joined.size() <= kEthernet + ports_[static_cast<size_t>(to)].mtu();
  const auto count = static_cast<unsigned>(fits ? 1 : whole.pieces);
  rte_mbuf* frames[Reassembler::kMaxPieces];
  if (rte_pktmbuf_alloc_bulk(pool_->get(), frames, count) != 0) {
    kept_.not_sent += count;
    return;
  }
  for (unsigned i = 0; i < count; ++i) {
    const std::span<std::byte> room(rte_pktmbuf_mtod(frames[i], std::byte*), rte_pktmbuf_tailroom(frames[i]));
    const size_t length = fits ? copy_padded(joined, room) : reassembler_->write_piece(i, room);
    frames[i]->data_len = static_cast<uint16_t>(length);
    frames[i]->pkt_len = frames[i]->data_len;
  }
  send(to, frames, count);
}

/// Answers what the rules reject, before it is freed.
void Filter::refuse(Side from, const Burst& burst) {
  const VerdictTable& verdicts = pipeline_.rules().wire().verdicts;
  for (unsigned d = 0; d < burst.dropped_count; ++d) {
    const unsigned i = burst.dropped[d];
    if (burst.outcome[i] != Outcome::kBlocked || verdicts[burst.verdict[i]].verdict != Verdict::kReject) continue;
    std::byte refusal[kMaxRefusalBytes];
    const wire::Bytes frame(burst.data[i] + burst.trim[i], size_t{burst.length[i]} - burst.trim[i]);
    const size_t length = write_refusal(frame, refusal);
    if (length == 0) continue;
    if (!refusal_limit_.take(now_ns_)) return;
    rte_mbuf* answer = rte_pktmbuf_alloc(pool_->get());
    if (answer == nullptr) return;
    answer->data_len = static_cast<uint16_t>(copy_padded(
        std::span(refusal).first(length), {rte_pktmbuf_mtod(answer, std::byte*), rte_pktmbuf_tailroom(answer)}));
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
  requests_.fetch_or(kTakeRules, std::memory_order_release);
}

bool Filter::is_settled() const { return (requests_.load(std::memory_order_acquire) & kTakeRules) == 0; }

void Filter::serve(unsigned requests) {
  if ((requests & kTakeRules) != 0) take_rules();
  if ((requests & kCount) != 0) {
    {
      const std::lock_guard lock(mutex_);
      note_moment();
      is_noted_ = true;
      requests_.fetch_and(~unsigned{kCount}, std::memory_order_relaxed);
    }
    answered_.notify_one();  // There is one at a time.
  }
}

/// While the flows of the last change are not all judged anew, looks after some of them and leaves the rest for later.
void Filter::take_rules() {
  if (!pipeline_.flows().may_start_generation()) {
    pipeline_.sweep(256);
    return;
  }
  Counters counts;
  counts.add(pipeline_.rules().wire(), pipeline_.verdicts());
  const std::shared_ptr<const FilterRules> old = pipeline_.shared_rules();  // Freed when the lock is gone.
  const std::lock_guard lock(mutex_);
  if (is_noted_) return;  // Else whoever takes it would count the verdicts twice. He is on his way.
  for (const auto& [who, count] : counts.entries) earlier_[who].add(count);
  pipeline_.set_rules(std::move(new_rules_));
  new_rules_.reset();
  ++kept_.policies;
  requests_.fetch_and(~unsigned{kTakeRules}, std::memory_order_release);
}

/// By the loop, or while there is none; under the lock.
void Filter::note_moment() {
  moment_.counters = kept_;
  moment_.counters.outcomes = pipeline_.outcomes();
  moment_.counters.flows = pipeline_.flows().size();
  moment_.counters.flow_capacity = pipeline_.flows().capacity();
  if (reassembler_) moment_.counters.fragments = reassembler_->counts();
  moment_.rules = pipeline_.shared_rules();
  moment_.verdicts = pipeline_.verdicts();
}

Counters Filter::counters() {
  const std::lock_guard one_at_a_time(asking_);
  std::unique_lock lock(mutex_);
  if (is_running_) {
    requests_.fetch_or(kCount, std::memory_order_release);
    answered_.wait(lock, [&] { return is_noted_ || !is_running_; });
  }
  if (!is_noted_) {
    requests_.fetch_and(~unsigned{kCount}, std::memory_order_relaxed);
    note_moment();
  }
  is_noted_ = false;
  Counters result = moment_.counters;
  result.entries = earlier_;
  result.add(moment_.rules->wire(), moment_.verdicts);
  const std::shared_ptr<const FilterRules> rules = std::move(moment_.rules);  // Freed here, and not by the loop.
  lock.unlock();
  // The drivers' statistics, which other threads may read, and some of which are a system call.
  result.missed = ports_[0].missed() + ports_[1].missed();
  return result;
}

}  // namespace tails::fastpath::dpdk
