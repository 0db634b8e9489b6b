#include "fastpath/bench/latency_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace tails::fastpath::bench {
namespace {

TEST(LatencyHistogram, EveryValueLiesInItsBucketAndBucketsFollowEachOther) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t value = random() >> random() % 64;
    const size_t bucket = LatencyHistogram::bucket(value);
    ASSERT_LE(value, LatencyHistogram::last_of(bucket));
    if (bucket > 0) {
      ASSERT_GT(value, LatencyHistogram::last_of(bucket - 1));
    }
    ASSERT_LE(LatencyHistogram::last_of(bucket) - value, value / 64);
  }
  for (size_t bucket = 0; LatencyHistogram::last_of(bucket) < ~uint64_t{0}; ++bucket) {
    ASSERT_EQ(LatencyHistogram::bucket(LatencyHistogram::last_of(bucket) + 1), bucket + 1);
  }
}

TEST(LatencyHistogram, QuantilesAreThoseOfTheSortedValuesWithinTheWidthOfABucket) {
  std::mt19937_64 random(2);
  std::lognormal_distribution<double> latency(9, 1.5);
  LatencyHistogram histogram;
  std::vector<uint64_t> values;
  for (int i = 0; i < 50'000; ++i) {
    values.push_back(static_cast<uint64_t>(latency(random)));
    histogram.record(values.back());
  }
  std::ranges::sort(values);
  for (const double part : {0.0001, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
    const uint64_t exact = values[std::max<size_t>(1, static_cast<size_t>(std::ceil(part * 50'000))) - 1];
    EXPECT_GE(histogram.quantile(part), exact) << part;
    EXPECT_LE(histogram.quantile(part), exact + exact / 64) << part;
  }
  EXPECT_EQ(histogram.most(), values.back());
  EXPECT_EQ(histogram.quantile(1), values.back());
  EXPECT_EQ(histogram.count(), 50'000U);
}

TEST(LatencyHistogram, TwoAddedAreOneOfAllValues) {
  LatencyHistogram low, high, all;
  for (uint64_t value = 0; value < 1000; ++value) {
    (value % 3 == 0 ? low : high).record(value * value);
    all.record(value * value);
  }
  low.add(high);
  for (const double part : {0.1, 0.5, 0.9, 1.0}) EXPECT_EQ(low.quantile(part), all.quantile(part));
  EXPECT_EQ(low.count(), all.count());
  EXPECT_EQ(low.most(), all.most());
}

TEST(LatencyHistogram, WithoutValuesEverythingIsZero) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.quantile(0.5), 0U);
  EXPECT_EQ(histogram.most(), 0U);
}

}  // namespace
}  // namespace tails::fastpath::bench
