#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "fastpath/questions.h"
#include "fastpath/way.h"

namespace tails::fastpath {

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
