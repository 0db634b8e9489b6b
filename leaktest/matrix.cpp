#include "leaktest/matrix.h"

#include <algorithm>

namespace tails::leaktest {

size_t Matrix::leaks() const {
  return static_cast<size_t>(std::ranges::count(outcomes, Judgement::kLeak, &Outcome::judgement));
}

size_t Matrix::broken() const {
  return static_cast<size_t>(std::ranges::count(outcomes, Judgement::kBroken, &Outcome::judgement));
}

}  // namespace tails::leaktest
