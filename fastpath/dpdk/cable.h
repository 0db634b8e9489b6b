#pragma once

#include <memory>
#include <string>

#include "net/result.h"

struct rte_ring;

namespace tails::fastpath::dpdk {

/// A cable within the program: two devices of DPDK's ring driver, each of which receives what the other sends. Opened
/// like any other by `Port::open`. Moves only; outlives the ports at its ends. EAL is up.
class Cable {
 public:
  /// `name`: at most ten characters; two cables have two names. Fails with kRefused without memory.
  static Result<Cable> make(const std::string& name);

  [[nodiscard]] const std::string& near() const { return near_; }
  [[nodiscard]] const std::string& far() const { return far_; }

 private:
  struct Free {
    void operator()(rte_ring* ring) const;
  };
  using Ring = std::unique_ptr<rte_ring, Free>;

  Cable(Ring there, Ring back, std::string near, std::string far)
      : there_(std::move(there)), back_(std::move(back)), near_(std::move(near)), far_(std::move(far)) {}

  Ring there_, back_;
  std::string near_, far_;
};

}  // namespace tails::fastpath::dpdk
