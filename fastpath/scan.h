#pragma once

#include "fastpath/classifier.h"

namespace tails::fastpath {

/// The lists as they are, searched line by line. Knows everything a list can say; keeps a copy of the way.
class Scan final : public Classifier {
 public:
  explicit Scan(const Way& way) : way_(way) {}

  void classify(const Questions& questions, VerdictId* verdicts) const override;
  [[nodiscard]] Structure structure() const override { return Structure::kScan; }
  [[nodiscard]] size_t bytes() const override;

 private:
  Way way_;
};

}  // namespace tails::fastpath
