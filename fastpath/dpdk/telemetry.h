#pragma once

#include <functional>

#include "fastpath/counters.h"
#include "net/result.h"

namespace tails::fastpath::dpdk {

/// Offers counters to DPDK's telemetry (dpdk-telemetry.py -f tails-iptc): /tails-iptc/outcomes, /tails-iptc/entries,
/// /tails-iptc/filter. `counters` is called by telemetry's own thread while this lives. One at a time; EAL is up.
class Telemetry {
 public:
  explicit Telemetry(std::function<Counters()> counters);
  ~Telemetry();
  Telemetry(const Telemetry&) = delete;
  Telemetry& operator=(const Telemetry&) = delete;
};

}  // namespace tails::fastpath::dpdk
