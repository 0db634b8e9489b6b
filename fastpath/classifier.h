#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "fastpath/way.h"

namespace tails::fastpath {

/// Packets are handled in bursts of at most this many.
inline constexpr unsigned kBurst = 64;

/// What a classifier is asked for a burst of packets whose heads left the verdict open. Host byte order.
/// Only the first `count` of each are set.
struct Questions {
  unsigned count = 0;
  alignas(64) uint32_t destination[kBurst];
  alignas(64) uint32_t source[kBurst];
  alignas(64) uint16_t port[kBurst];  ///< Destination port; 0 where the protocol has none.
  alignas(64) uint16_t source_port[kBurst];
  alignas(64) uint16_t column[kBurst];
};

/// One Way in a form made for speed. All of them give the same answers. Thread-safe after construction.
class Classifier {
 public:
  /// The structures there are; which one serves best depends on the rules (cost_model.h).
  enum class Structure : uint8_t {
    kClassTable,  ///< One table by list, class of ports, column.
    kLineBlocks,  ///< Lists in blocks of eight lines, compared at once.
    kAcl,         ///< rte_acl; only with DPDK.
    kScan,        ///< Line by line. For rules that look at source addresses or ports where rte_acl is not at hand.
  };

  Classifier() = default;
  Classifier(const Classifier&) = delete;
  Classifier& operator=(const Classifier&) = delete;
  virtual ~Classifier() = default;

  /// Writes `questions.count` verdicts.
  virtual void classify(const Questions& questions, VerdictId* verdicts) const = 0;
  [[nodiscard]] virtual Structure structure() const = 0;
  /// Memory of its tables.
  [[nodiscard]] virtual size_t bytes() const = 0;
};

/// "class table".
std::string_view to_string(Classifier::Structure structure);

}  // namespace tails::fastpath
