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
  void add(Finding finding);
  [[nodiscard]] std::vector<Finding> take() && { return std::move(list_); }

 private:
  std::vector<Finding> list_;
};

/// Makes findings of sets of packets. For each it asks the evaluator about the example, and never claims more than that
/// says.
class Reporter {
 public:
  /// What is wrong with a packet that had this evaluation; nullopt where nothing is. Asked only about sure evaluations.
  using Fault = std::function<std::optional<std::string>(const Packet&, const ruleset::Evaluation&)>;

  /// Keeps pointers to all.
  Reporter(const Model& model, const ruleset::Evaluator& evaluator, const Familiar& familiar, Findings& findings)
      : model_(&model), evaluator_(&evaluator), familiar_(&familiar), findings_(&findings) {}

  /// Adds a finding where `offending` (over packets and unknowns) is not empty; true when it did. `fault` must hold of
  /// its packets.
  bool report(std::string_view property, const Bdd& offending, Hook hook, const Fault& fault);

  /// False once the evaluator was sure that an offending packet is none: a mistake of ours, no result is to be trusted.
  [[nodiscard]] bool agrees_with_evaluator() const { return agrees_; }

 private:
  const Model* model_;
  const ruleset::Evaluator* evaluator_;
  const Familiar* familiar_;
  Findings* findings_;
  bool agrees_ = true;
};

}  // namespace tails::proof
