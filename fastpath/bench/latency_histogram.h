#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace tails::fastpath::bench {

/// Latencies in log-linear buckets, as HdrHistogram has them: values under 64 each have a bucket, and every power of
/// two from there on has 64, so what is read back is at most 1/64 above what was recorded. Fixed memory, no allocation.
/// Plain value, not thread-safe.
class LatencyHistogram {
 public:
  void record(uint64_t nanoseconds) {
    ++counts_[bucket(nanoseconds)];
    ++count_;
    if (nanoseconds > most_) most_ = nanoseconds;
  }
  void add(const LatencyHistogram& other);

  [[nodiscard]] uint64_t count() const { return count_; }
  /// The largest that was recorded, exactly; 0 without any.
  [[nodiscard]] uint64_t most() const { return most_; }
  /// The value that `part` (0..1) of those recorded do not exceed: the last of its bucket. 0 without any.
  [[nodiscard]] uint64_t quantile(double part) const;

  /// The bucket of a value, and the last value of a bucket.
  static constexpr size_t bucket(uint64_t value);
  static constexpr uint64_t last_of(size_t bucket);

 private:
  static constexpr unsigned kBits = 6;
  static constexpr size_t kBuckets = (64 - kBits + 1) << kBits;

  std::array<uint64_t, kBuckets> counts_{};
  uint64_t count_ = 0;
  uint64_t most_ = 0;
};

constexpr size_t LatencyHistogram::bucket(uint64_t value) {
  if (value < uint64_t{1} << kBits) return value;
  const auto power = static_cast<unsigned>(63 - __builtin_clzll(value));
  // The 64 values of 6 bits that follow the leading one.
  return (size_t{power - kBits + 1} << kBits) + (value >> (power - kBits) & ((1U << kBits) - 1));
}

constexpr uint64_t LatencyHistogram::last_of(size_t bucket) {
  if (bucket < size_t{1} << kBits) return bucket;
  const size_t shift = (bucket >> kBits) - 1;
  const uint64_t first = ((uint64_t{1} << kBits) + (bucket & ((1U << kBits) - 1))) << shift;
  return first + (uint64_t{1} << shift) - 1;
}

}  // namespace tails::fastpath::bench
