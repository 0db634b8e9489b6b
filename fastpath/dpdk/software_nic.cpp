#include "fastpath/dpdk/software_nic.h"

#include <emmintrin.h>
#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include <bit>
#include <cstring>
#include <string>

#include "fastpath/frame_end.h"

namespace tails::fastpath::dpdk {
namespace {

/// Every so many bursts the clock is read.
constexpr unsigned kBurstsBetween = 64;

double seconds_of(uint64_t cycles) { return static_cast<double>(cycles) / static_cast<double>(rte_get_tsc_hz()); }

/// A bit for each of a burst's bytes that is 1.
uint64_t set_of(const uint8_t* bytes) {
  uint64_t set = 0;
  for (unsigned i = 0; i < kBurst; i += 16) {
    const __m128i sixteen = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + i));
    set |= uint64_t{static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpgt_epi8(sixteen, _mm_setzero_si128())))} << i;
  }
  return set;
}

/// Goes on until the time is over: `each` handles a burst and says how many frames it had.
template <class Each>
Run measure(double seconds, Each&& each) {
  Run run;
  const uint64_t begin = rte_rdtsc();
  const uint64_t end = begin + static_cast<uint64_t>(seconds * static_cast<double>(rte_get_tsc_hz()));
  uint64_t now = begin;
  while (now < end) {
    const uint64_t before = rte_rdtsc();
    run.frames += each(run);
    run.burst_ns.push_back(static_cast<uint32_t>(seconds_of(rte_rdtsc() - before) * 1e9));
    for (unsigned i = 1; i < kBurstsBetween; ++i) run.frames += each(run);
    now = rte_rdtsc();
  }
  run.seconds = seconds_of(now - begin);
  return run;
}

}  // namespace

Result<SoftwareNic> SoftwareNic::open(unsigned number) {
  constexpr unsigned kBuffers = 8191;
  auto pool = PacketPool::make("software-nic" + std::to_string(number), kBuffers);
  if (!pool) return tl::unexpected(pool.error());
  auto in = Port::open("net_null" + std::to_string(2 * number), *pool);
  if (!in) return tl::unexpected(in.error());
  auto out = Port::open("net_null" + std::to_string(2 * number + 1), *pool);
  if (!out) return tl::unexpected(out.error());
  return SoftwareNic(*std::move(pool), *std::move(in), *std::move(out));
}

unsigned SoftwareNic::receive(rte_mbuf** frames, const Trace& trace) {
  const unsigned count = in_.receive(frames, kBurst);
  const TraceFrame* const now = &trace.frames[at_];
  const TraceFrame* const next = &trace.frames[(at_ + kBurst) % trace.frames.size()];
  for (unsigned i = 0; i < count; ++i) {
    rte_prefetch0(next + i);
    std::memcpy(rte_pktmbuf_mtod(frames[i], void*), now[i].bytes.data(), TraceFrame::kBytes);
    frames[i]->data_len = TraceFrame::kBytes;
    frames[i]->pkt_len = TraceFrame::kBytes;
  }
  return count;
}

Run SoftwareNic::forward(const Trace& trace, double seconds) {
  return measure(seconds, [&](Run&) {
    rte_mbuf* frames[kBurst];
    const unsigned count = receive(frames, trace);
    at_ = (at_ + kBurst) % trace.frames.size();
    const unsigned sent = out_.send(frames, count);
    if (sent < count) rte_pktmbuf_free_bulk(frames + sent, count - sent);
    return count;
  });
}

/// Readies the burst.
void SoftwareNic::ready(rte_mbuf** frames, unsigned count) {
  Burst& burst = *burst_;
  burst.count = count;
  for (unsigned i = 0; i < count; ++i) {
    burst.data[i] = rte_pktmbuf_mtod(frames[i], std::byte*);
    burst.length[i] = frames[i]->data_len;
    burst.known_good[i] = 0;
  }
}

/// Checks the verdicts, sends what passed and frees the others.
void SoftwareNic::send(rte_mbuf** frames, const Trace& trace, Run& run) {
  const Burst& burst = *burst_;
  const uint64_t all = burst.count == kBurst ? ~uint64_t{0} : (uint64_t{1} << burst.count) - 1;
  const uint64_t leaks = set_of(&trace.is_leak[at_]);
  run.leaked += static_cast<uint64_t>(std::popcount(burst.passed_set & leaks));
  run.wrongly_blocked += static_cast<uint64_t>(std::popcount(all & ~burst.passed_set & ~leaks));

  rte_mbuf* passed[kBurst];
  rte_mbuf* dropped[kBurst];
  for (unsigned p = 0; p < burst.passed_count; ++p) {
    rte_mbuf* frame = passed[p] = frames[burst.passed[p]];
    // As the filter does before it sends.
    frame->data_len = static_cast<uint16_t>(cut_behind_packet(rte_pktmbuf_mtod(frame, std::byte*), frame->data_len));
    frame->pkt_len = frame->data_len;
  }
  for (unsigned d = 0; d < burst.dropped_count; ++d) dropped[d] = frames[burst.dropped[d]];
  at_ = (at_ + kBurst) % trace.frames.size();
  const unsigned sent = out_.send(passed, burst.passed_count);
  if (sent < burst.passed_count) rte_pktmbuf_free_bulk(passed + sent, burst.passed_count - sent);
  if (burst.dropped_count != 0) rte_pktmbuf_free_bulk(dropped, burst.dropped_count);
}

Run SoftwareNic::filter(Pipeline& pipeline, const Trace& trace, double seconds) {
  return measure(seconds, [&](Run& run) {
    rte_mbuf* frames[kBurst];
    ready(frames, receive(frames, trace));
    pipeline.process(Side::kInside, *burst_);
    send(frames, trace, run);
    return burst_->count;
  });
}

Run SoftwareNic::filter_by_stages(Pipeline& pipeline, const Trace& trace, double seconds) {
  StageCycles stages{};
  uint64_t receiving = 0, sending = 0;
  Run run = measure(seconds, [&](Run& now) {
    rte_mbuf* frames[kBurst];
    const uint64_t begin = rte_rdtsc();
    ready(frames, receive(frames, trace));
    receiving += rte_rdtsc() - begin;
    pipeline.process(Side::kInside, *burst_, stages);
    const uint64_t judged = rte_rdtsc();
    send(frames, trace, now);
    sending += rte_rdtsc() - judged;
    return burst_->count;
  });
  const auto per_frame = [&](uint64_t cycles) { return seconds_of(cycles) * 1e9 / static_cast<double>(run.frames); };
  for (size_t s = 0; s < kStageCount; ++s) run.stage_ns[s] = per_frame(stages[s]);
  run.receive_ns = per_frame(receiving);
  run.send_ns = per_frame(sending);
  return run;
}

}  // namespace tails::fastpath::dpdk
