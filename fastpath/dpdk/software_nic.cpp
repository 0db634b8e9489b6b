#include "fastpath/dpdk/software_nic.h"

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include <cstring>

namespace tails::fastpath::dpdk {
namespace {

/// Every so many bursts the clock is read.
constexpr unsigned kBurstsBetween = 64;

double seconds_of(uint64_t cycles) { return static_cast<double>(cycles) / static_cast<double>(rte_get_tsc_hz()); }

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

Result<SoftwareNic> SoftwareNic::open() {
  constexpr unsigned kBuffers = 8191;
  auto pool = PacketPool::make("software-nic", kBuffers);
  if (!pool) return tl::unexpected(pool.error());
  auto in = Port::open("net_null0", *pool);
  if (!in) return tl::unexpected(in.error());
  auto out = Port::open("net_null1", *pool);
  if (!out) return tl::unexpected(out.error());
  return SoftwareNic(*std::move(pool), *std::move(in), *std::move(out));
}

unsigned SoftwareNic::receive(rte_mbuf** frames, const Trace& trace) {
  const unsigned count = in_.receive(frames, kBurst);
  for (unsigned i = 0; i < count; ++i) {
    std::memcpy(rte_pktmbuf_mtod(frames[i], void*), trace.frames[at_ + i].bytes.data(), TraceFrame::kBytes);
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

Run SoftwareNic::filter(Pipeline& pipeline, const Trace& trace, double seconds) {
  return measure(seconds, [&](Run& run) {
    rte_mbuf* frames[kBurst];
    Burst& burst = *burst_;
    burst.count = receive(frames, trace);
    for (unsigned i = 0; i < burst.count; ++i) {
      burst.data[i] = rte_pktmbuf_mtod(frames[i], std::byte*);
      burst.length[i] = frames[i]->data_len;
      burst.known_good[i] = 0;
    }
    pipeline.process(Side::kInside, burst);
    rte_mbuf* passed[kBurst];
    rte_mbuf* dropped[kBurst];
    for (unsigned p = 0; p < burst.passed_count; ++p) {
      passed[p] = frames[burst.passed[p]];
      run.leaked += trace.is_leak[at_ + burst.passed[p]];
    }
    for (unsigned d = 0; d < burst.dropped_count; ++d) {
      dropped[d] = frames[burst.dropped[d]];
      run.wrongly_blocked += 1U - trace.is_leak[at_ + burst.dropped[d]];
    }
    at_ = (at_ + kBurst) % trace.frames.size();
    const unsigned sent = out_.send(passed, burst.passed_count);
    if (sent < burst.passed_count) rte_pktmbuf_free_bulk(passed + sent, burst.passed_count - sent);
    if (burst.dropped_count != 0) rte_pktmbuf_free_bulk(dropped, burst.dropped_count);
    return burst.count;
  });
}

}  // namespace tails::fastpath::dpdk
