#include "fastpath/bench/schedule.h"

#include <cassert>
#include <random>

namespace tails::fastpath::bench {

Schedule::Schedule(std::span<const SizedTraffic> sizes, std::span<const Share> mix, uint32_t connections, uint32_t seed)
    : connections_(connections) {
  assert(!sizes.empty() && connections > 0 && connections <= Traffic::kMostConnections);
  std::vector<double> size_shares, weights;
  for (const SizedTraffic& sized : sizes) size_shares.push_back(sized.share);
  for (const Share& share : mix) weights.push_back(share.weight);
  std::mt19937 random(seed);
  std::discrete_distribution<size_t> any_size(size_shares.begin(), size_shares.end());
  std::discrete_distribution<size_t> any_share(weights.begin(), weights.end());
  slots_.reserve(kPeriod);
  for (uint32_t i = 0; i < kPeriod; ++i) {
    const Purpose purpose = mix[any_share(random)].purpose;
    const std::vector<FrameTemplate>& frames = sizes[any_size(random)].traffic.templates(purpose);
    const uint32_t number = (i % 2 == 0 ? static_cast<uint32_t>(random()) : i / 2) % connections;
    slots_.push_back({&frames[random() % frames.size()], number, purpose});
  }
}

double Schedule::mean_bytes() const {
  uint64_t sum = 0;
  for (const Slot& slot : slots_) sum += slot.frame->length();
  return static_cast<double>(sum) / kPeriod;
}

}  // namespace tails::fastpath::bench
