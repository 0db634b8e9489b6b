#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "leaktest/case.h"

namespace tails::leaktest {

/// A case, what was seen of it, and what that means.
struct Outcome {
  Case attempt;
  Observation seen;
  Judgement judgement = Judgement::kAsMeant;
};

/// What came of a leak test.
struct Matrix {
  std::vector<Outcome> outcomes;     ///< In the plan's order; what nobody sent stands at the end.
  std::vector<std::string> notices;  ///< What was left out, as sentences.
  size_t packets = 0;                ///< That left the machine by its cables.
  [[nodiscard]] size_t leaks() const;
  [[nodiscard]] size_t broken() const;
};

}  // namespace tails::leaktest
