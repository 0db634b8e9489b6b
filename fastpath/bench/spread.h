#pragma once

#include <algorithm>
#include <vector>

namespace tails::fastpath::bench {

/// What trials of one thing say: the middle one, and how far they lie apart.
struct Spread {
  double median = 0;
  double least = 0;
  double most = 0;

  static Spread of(std::vector<double> values) {
    if (values.empty()) return {};
    std::ranges::sort(values);
    return {values[values.size() / 2], values.front(), values.back()};
  }
  /// Trials that lie further apart than a tenth of their median are not repeatable enough to be called a result.
  [[nodiscard]] bool is_stable() const { return median > 0 && most - least <= 0.1 * median; }
};

}  // namespace tails::fastpath::bench
