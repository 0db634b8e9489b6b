#include "fastpath/dpdk/port_tester.h"

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <sys/resource.h>

#include <algorithm>

namespace tails::fastpath::dpdk {
namespace {

using bench::Expected;
using bench::Handshakes;
using bench::Schedule;
using bench::Stamp;
using flow_model::Side;

constexpr unsigned kBatch = 32;
/// Tries to send before the port is said to take no more.
constexpr unsigned kMostTries = 2000;
/// How long nothing may come before nothing more is believed to come (RFC 2544 has 2 s; these cables are short): some
/// times the longest that a frame of the trial was under way, between these limits.
constexpr double kTimesLatency = 10;
constexpr double kLeastQuietSeconds = 0.02;
constexpr double kMostQuietSeconds = 0.2;
constexpr double kLongestWaitSeconds = 1;
/// Of what did not come, so many are sent again, one at a time; in the first trial that lost some, and then in each of
/// so many, for it takes its time.
constexpr size_t kResent = 16;
constexpr unsigned kTrialsBetween = 8;
/// How long each is waited for; then it is sent once more.
constexpr double kResendSeconds[] = {0.005, 0.02, 0.08, 0.32};
/// Handshakes have a key of their own.
constexpr uint32_t kHandshakeKey = 0x5AFE'C0DE;
/// What may be behind the clock and is caught up with; what is more shifts the clock: a burst that nobody asked for
/// would say something of the filter's buffers, nothing of its speed.
constexpr double kCatchUpSeconds = 0.0005;

double cycles_of(double seconds) { return seconds * static_cast<double>(rte_get_tsc_hz()); }

constexpr size_t kTypeOfService = 15;

/// How often the kernel took a core from a thread of this program that had more to do.
uint64_t interruptions() {
  rusage usage{};
  return ::getrusage(RUSAGE_SELF, &usage) == 0 ? static_cast<uint64_t>(usage.ru_nivcsw) : 0;
}

}  // namespace

struct PortTester::Batch {
  std::array<std::array<rte_mbuf*, kBatch>, 2> frames{};
  std::array<unsigned, 2> count{};
};

PortTester::PortTester(Port inside, Port outside, const PacketPool& pool, std::span<const bench::SizedTraffic> sizes,
                       uint32_t key)
    : ports_{std::move(inside), std::move(outside)}, pool_(&pool), sizes_(sizes), key_(key), scratch_(2048) {}

Result<void> PortTester::put(Batch& batch, const bench::FrameTemplate& frame, const bench::Peer& peer,
                             uint32_t sequence, uint32_t key) {
  rte_mbuf* buffer = rte_pktmbuf_alloc(pool_->get());
  if (buffer == nullptr) {
    return fail(ErrorKind::kRefused, "the tester has no buffers left",
                "Frames are stuck between its ports, or the pool is too small for their queues.");
  }
  frame.write(peer, Stamp::make(sequence, key), rte_pktmbuf_mtod(buffer, std::byte*));
  buffer->data_len = frame.length();
  buffer->pkt_len = frame.length();
  const auto side = static_cast<size_t>(frame.from());
  batch.frames[side][batch.count[side]] = buffer;
  ++batch.count[side];
  return {};
}

/// Sends the batch, and takes in between what comes. What the ports do not take in some time is freed.
void PortTester::send(Batch& batch, const auto& receive) {
  for (size_t side = 0; side < 2; ++side) {
    unsigned sent = 0;
    for (unsigned tries = 0; sent < batch.count[side] && tries < kMostTries; ++tries) {
      if (tries != 0) receive();
      sent += ports_[side].send(&batch.frames[side][sent], batch.count[side] - sent);
    }
    if (sent < batch.count[side]) rte_pktmbuf_free_bulk(&batch.frames[side][sent], batch.count[side] - sent);
  }
}

/// Calls `each` with the side that the frame must have come from, the frame, and its number where it is one of ours.
template <class Each>
unsigned PortTester::receive(uint32_t key, Each&& each) {
  unsigned all = 0;
  for (size_t side = 0; side < 2; ++side) {
    rte_mbuf* frames[kBatch];
    const unsigned count = ports_[side].receive(frames, kBatch);
    const uint64_t now = rte_rdtsc();
    for (unsigned i = 0; i < count; ++i) {
      const wire::Bytes bytes(rte_pktmbuf_mtod(frames[i], const std::byte*), rte_pktmbuf_data_len(frames[i]));
      const auto stamp = Stamp::read(bytes);
      const bool is_ours = stamp && frames[i]->nb_segs == 1 && stamp->fits(key);
      each(flow_model::other(static_cast<Side>(side)), bytes, is_ours ? &*stamp : nullptr, now);
    }
    if (count != 0) rte_pktmbuf_free_bulk(frames, count);
    all += count;
  }
  return all;
}

Result<bench::Trial> PortTester::trial(const Schedule& schedule, bench::Ledger& ledger, double load,
                                       bench::Nanoseconds duration) {
  bench::Trial trial;
  const double seconds = static_cast<double>(duration.count()) * 1e-9;
  // Each load has frames enough to lose one in, and a trial at any load ends in time.
  const auto count = static_cast<uint32_t>(std::clamp(load * seconds, 16.0, 2e8));
  first_ = next_;
  next_ += count;
  ledger.begin(first_, count);
  if (sent_at_.size() < count) sent_at_.resize(count);
  const uint64_t interruptions_before = interruptions();

  const auto take = [&] {
    return receive(key_, [&](Side from, wire::Bytes frame, const Stamp* stamp, uint64_t now) {
      if (stamp == nullptr) return ledger.arrived_foreign();
      const Schedule::Entry entry = ledger.schedule_of(stamp->sequence).at(stamp->sequence);
      const bool has_tag = from == Side::kInside && (frame[kTypeOfService] & std::byte{0xFC}) != std::byte{0};
      const bool is_whole =
          from == entry.frame->from() && !has_tag && entry.frame->is(frame, entry.peer, *stamp, scratch_.data());
      ledger.arrived(stamp->sequence, is_whole);
      const uint32_t place = stamp->sequence - first_;
      if (is_whole && place < count && expected(entry.purpose) == Expected::kPasses) {
        trial.latency.record(static_cast<uint64_t>(static_cast<double>(now - sent_at_[place]) * 1e9 /
                                                   static_cast<double>(rte_get_tsc_hz())));
      }
    });
  };

  const double per_frame = static_cast<double>(rte_get_tsc_hz()) / load;
  const double catch_up = std::max<double>(kBatch, load * kCatchUpSeconds);
  // A tester that cannot reach the load gives up at twice the time.
  const uint64_t began = rte_rdtsc();
  const uint64_t give_up = began + static_cast<uint64_t>(cycles_of(2 * seconds + 0.01));
  double start = static_cast<double>(began);
  uint32_t sent = 0;
  uint64_t now = began;
  while (sent < count && now < give_up) {
    now = rte_rdtsc();
    double due = (static_cast<double>(now) - start) / per_frame - sent;
    if (due > catch_up) {
      start += (due - catch_up) * per_frame;
      due = catch_up;
    }
    const auto n = static_cast<unsigned>(std::clamp<double>(due, 0, std::min<uint32_t>(kBatch, count - sent)));
    if (n != 0) {
      Batch batch;
      for (unsigned i = 0; i < n; ++i) {
        const uint32_t sequence = first_ + sent + i;
        const Schedule::Entry entry = schedule.at(sequence);
        if (auto done = put(batch, *entry.frame, entry.peer, sequence, key_); !done) {
          for (size_t side = 0; side < 2; ++side) {
            if (batch.count[side] != 0) rte_pktmbuf_free_bulk(batch.frames[side].data(), batch.count[side]);
          }
          return tl::unexpected(done.error());
        }
        ledger.sent(sequence);
      }
      const uint64_t at = rte_rdtsc();
      for (unsigned i = 0; i < n; ++i) sent_at_[sent + i] = at;
      send(batch, take);
      // What the ports did not take counts as sent, and does not come: that is loss.
      sent += n;
    }
    take();
  }
  const uint64_t ended = rte_rdtsc();
  trial.seconds = static_cast<double>(ended - began) / static_cast<double>(rte_get_tsc_hz());
  const double reached = sent / std::max(trial.seconds, 1e-9);
  trial.shortfall = std::max(0.0, 1 - reached / load);

  uint64_t quiet_since = ended;
  while (!ledger.is_complete()) {
    now = rte_rdtsc();
    if (take() != 0) quiet_since = now;
    const double quiet = std::clamp(kTimesLatency * static_cast<double>(trial.latency.most()) * 1e-9,
                                    kLeastQuietSeconds, kMostQuietSeconds);
    if (static_cast<double>(now - quiet_since) > cycles_of(quiet)) break;
    if (static_cast<double>(now - ended) > cycles_of(kLongestWaitSeconds)) break;
  }
  trial.tally = ledger.tally();
  trial.interruptions = interruptions() - interruptions_before;
  if (trial.tally.lost() != 0 && lossy_trials_++ % kTrialsBetween == 0) resend(schedule, ledger, trial);
  return trial;
}

/// Lost or blocked? What is sent again alone, when nothing else is under way, is not lost.
void PortTester::resend(const Schedule& schedule, bench::Ledger& ledger, bench::Trial& trial) {
  const std::vector<uint32_t> missing = ledger.missing(kResent);
  const uint64_t passed = ledger.tally().passed;
  const auto take = [&] {
    return receive(key_, [&](Side from, wire::Bytes frame, const Stamp* stamp, uint64_t) {
      if (stamp == nullptr) return;
      const Schedule::Entry entry = ledger.schedule_of(stamp->sequence).at(stamp->sequence);
      ledger.arrived(stamp->sequence,
                     from == entry.frame->from() && entry.frame->is(frame, entry.peer, *stamp, scratch_.data()));
    });
  };
  for (const uint32_t sequence : missing) {
    const Schedule::Entry entry = schedule.at(sequence);
    const uint64_t before = ledger.tally().passed;
    for (const double patience : kResendSeconds) {
      if (ledger.tally().passed != before) break;
      Batch batch;
      if (!put(batch, *entry.frame, entry.peer, sequence, key_)) return;
      send(batch, take);
      const uint64_t until = rte_rdtsc() + static_cast<uint64_t>(cycles_of(patience));
      while (ledger.tally().passed == before && rte_rdtsc() < until) take();
    }
  }
  const uint64_t came = ledger.tally().passed - passed;
  trial.wrongly_blocked = missing.size() - std::min<uint64_t>(missing.size(), came);
}

Result<double> PortTester::connect(Handshakes& handshakes, Peers peers, bench::Nanoseconds limit) {
  const bench::Traffic& traffic = sizes_.front().traffic;
  const double ns_per_cycle = 1e9 / static_cast<double>(rte_get_tsc_hz());
  const uint64_t began = rte_rdtsc();
  const auto elapsed = [&] { return static_cast<double>(rte_rdtsc() - began) * ns_per_cycle; };
  const auto take = [&] {
    return receive(key_ ^ kHandshakeKey, [&](Side, wire::Bytes, const Stamp* stamp, uint64_t) {
      if (stamp != nullptr) handshakes.arrived(Handshakes::Frame::of(stamp->sequence));
    });
  };
  bool has_stopped = limit.count() == 0;
  while (!handshakes.is_over()) {
    const double now = elapsed();
    if (!has_stopped && now >= static_cast<double>(limit.count())) {
      handshakes.stop();
      has_stopped = true;
    }
    Batch batch;
    for (unsigned i = 0; i < kBatch; ++i) {
      const auto frame = handshakes.next(static_cast<uint64_t>(now));
      if (!frame) break;
      const bench::Peer peer = peers == Peers::kConnections ? bench::Traffic::connection(frame->number)
                                                            : bench::Traffic::short_lived(frame->number);
      const auto& how = traffic.templates(Handshakes::purpose(frame->step)).front();
      if (auto done = put(batch, how, peer, frame->sequence(), key_ ^ kHandshakeKey); !done) {
        return tl::unexpected(done.error());
      }
    }
    send(batch, take);
    take();
  }
  return elapsed() * 1e-9;
}

}  // namespace tails::fastpath::dpdk
