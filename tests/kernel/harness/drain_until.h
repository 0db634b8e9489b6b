#pragma once

#include <unistd.h>

#include <iterator>
#include <utility>

#include "net/result.h"

namespace tails::testbed {

/// Drains `source` (an Observer, a Wire, a Sender's cables by a lambda) again and again until `is_enough` holds for all
/// that came, or about a second has passed: packets that come in by a cable are the kernel's to handle when it likes.
template <class Drain, class IsEnough>
auto drain_until(Drain drain, IsEnough is_enough) -> decltype(drain()) {
  constexpr int kTries = 1000;
  auto all = drain();
  for (int i = 0; all && !is_enough(*all) && i < kTries; ++i) {
    ::usleep(1000);
    auto more = drain();
    if (!more) return more;
    std::move(more->begin(), more->end(), std::back_inserter(*all));
  }
  return all;
}

}  // namespace tails::testbed
