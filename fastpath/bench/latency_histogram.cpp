#include "fastpath/bench/latency_histogram.h"

#include <algorithm>
#include <cmath>

namespace tails::fastpath::bench {

void LatencyHistogram::add(const LatencyHistogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) counts_.at(i) += other.counts_.at(i);
  count_ += other.count_;
  most_ = std::max(most_, other.most_);
}

uint64_t LatencyHistogram::quantile(double part) const {
  if (count_ == 0) return 0;
  const auto wanted = std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(part * static_cast<double>(count_))));
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += counts_.at(i);
    if (seen >= wanted) return std::min(last_of(i), most_);
  }
  return most_;
}

}  // namespace tails::fastpath::bench
