#pragma once

#include <algorithm>
#include <limits>
#include <vector>

namespace tails::fastpath {

/// A set of unsigned numbers as sorted ranges that neither overlap nor touch. The default holds every number, without
/// allocating: most tests of most rules test nothing.
template <class T>
class Ranges {
 public:
  struct Range {
    T first;
    T last;  ///< Included.
    friend bool operator==(const Range&, const Range&) = default;
  };
  static constexpr T kMax = std::numeric_limits<T>::max();

  Ranges() = default;
  static Ranges none() {
    Ranges set;
    set.is_any_ = false;
    return set;
  }
  static Ranges of(T first, T last) {
    Ranges set;
    if (first == 0 && last == kMax) return set;
    set.is_any_ = false;
    if (first <= last) set.parts_.push_back({first, last});
    return set;
  }
  /// The union of ranges in any order.
  static Ranges of(std::vector<Range> parts) {
    std::ranges::sort(parts, {}, &Range::first);
    Ranges set = none();
    for (const Range& part : parts) {
      if (part.first > part.last) continue;
      if (!set.parts_.empty() && (set.parts_.back().last == kMax || part.first <= set.parts_.back().last + 1)) {
        set.parts_.back().last = std::max(set.parts_.back().last, part.last);
      } else {
        set.parts_.push_back(part);
      }
    }
    if (set.parts_ == std::vector<Range>{{0, kMax}}) return Ranges();
    return set;
  }

  [[nodiscard]] bool is_any() const { return is_any_; }
  [[nodiscard]] bool is_empty() const { return !is_any_ && parts_.empty(); }
  /// The ranges; one from 0 to the greatest number where the set holds every number.
  [[nodiscard]] std::vector<Range> parts() const { return is_any_ ? std::vector<Range>{{0, kMax}} : parts_; }

  [[nodiscard]] Ranges complement() const {
    if (is_any_) return none();
    std::vector<Range> rest;
    T next = 0;
    for (const Range& part : parts_) {
      if (part.first > next) rest.push_back({next, static_cast<T>(part.first - 1)});
      if (part.last == kMax) return of(std::move(rest));
      next = static_cast<T>(part.last + 1);
    }
    rest.push_back({next, kMax});
    return of(std::move(rest));
  }

  /// Keeps what `other` holds too.
  void intersect(const Ranges& other) {
    if (other.is_any_) return;
    if (is_any_) {
      *this = other;
      return;
    }
    std::vector<Range> both;
    for (size_t a = 0, b = 0; a < parts_.size() && b < other.parts_.size();) {
      const T first = std::max(parts_[a].first, other.parts_[b].first);
      const T last = std::min(parts_[a].last, other.parts_[b].last);
      if (first <= last) both.push_back({first, last});
      (parts_[a].last < other.parts_[b].last ? a : b)++;
    }
    parts_ = std::move(both);
  }

 private:
  bool is_any_ = true;
  std::vector<Range> parts_;
};

}  // namespace tails::fastpath
