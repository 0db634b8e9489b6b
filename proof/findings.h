#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proof/model.h"
#include "proof/prove.h"
#include "proof/witness.h"
#include "ruleset/evaluator.h"

namespace tails::proof {

/// Gathers what was found about each property: of several the first that surely fails, else the first in doubt.
class Findings {
 public:
  Findings();

  [[nodiscard]] bool has_failed(std::string_view property) const;
  [[nodiscard]] bool has_any_failed() const;
  void add(Finding finding);
  [[nodiscard]] std::vector<Finding> take() && { return std::move(list_); }

 private:
  std::vector<Finding> list_;
};

/// What examples are made and checked with.
struct Examples {
  ruleset::Evaluator evaluator;
  Familiar familiar;
};

/// Makes findings of sets of packets. For each it asks the evaluator about the example, and never claims more than that
/// says.
class Reporter {
 public:
  /// What is wrong with a packet that had this evaluation; nullopt where nothing is. Asked only about sure evaluations.
  using Fault = std::function<std::optional<std::string>(const Packet&, const ruleset::Evaluation&)>;

  /// Keeps pointers to all. Without `examples`, as a model by class needs it, a finding is just "does not hold".
  Reporter(const Model& model, const Examples* examples, Findings& findings)
      : model_(&model), examples_(examples), findings_(&findings) {}

  /// Adds a finding where `offending` (over packets and unknowns) is not empty; true when it did. `fault` must hold of
  /// its packets.
  bool report(std::string_view property, const Bdd& offending, Hook hook, const Fault& fault);

  /// False once the evaluator was sure that an offending packet is none: a mistake of ours, no result is to be trusted.
  [[nodiscard]] bool agrees_with_evaluator() const { return agrees_; }

 private:
  const Model* model_;
  const Examples* examples_;
  Findings* findings_;
  bool agrees_ = true;
};

}  // namespace tails::proof
