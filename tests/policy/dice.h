#pragma once

#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

namespace tails::testing {

/// Random numbers that are the same everywhere for the same seed (SplitMix64, Steele et al. 2014): the distributions of
/// <random> differ between libraries.
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}

  uint64_t bits() {
    state_ += 0x9E3779B97F4A7C15;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  /// 0 to `sides` - 1; `sides` at least 1. The bias is below 2^-32 for the sizes used here.
  size_t below(size_t sides) { return static_cast<size_t>((bits() >> 32) * sides >> 32); }
  /// True in `percent` of a hundred throws.
  bool chance(unsigned percent) { return below(100) < percent; }
  template <class Container>
  const auto& pick(const Container& choices) {
    return choices[below(std::size(choices))];
  }

 private:
  uint64_t state_;
};

/// The seed of a random test: `fallback`, or the environment variable TAILS_SEED. A failing test prints it.
inline uint64_t seed_or(uint64_t fallback) {
  const char* text = std::getenv("TAILS_SEED");  // NOLINT(concurrency-mt-unsafe): nobody sets variables
  return text == nullptr ? fallback : std::stoull(text);
}

/// How many of `all` random cases a test tries: with sanitizers, where each takes several times as long, a half.
template <class Count>
constexpr Count tries(Count all) {
#ifdef TAILS_SANITIZED
  return (all + 1) / 2;
#else
  return all;
#endif
}

}  // namespace tails::testing
