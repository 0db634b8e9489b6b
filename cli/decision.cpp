#include "cli/decision.h"

#include <variant>

namespace tails::cli {

ruleset::OriginIndex deciding_origin(const ruleset::Evaluation& evaluation) {
  const ruleset::RuleRef& decided = evaluation.decided_by;
  const bool is_stopped = evaluation.verdict == Verdict::kReject || evaluation.verdict == Verdict::kDrop;
  if (!is_stopped || decided.chain == nullptr || decided.chain->is_builtin()) return decided.origin();
  for (auto step = evaluation.steps.rbegin(); step != evaluation.steps.rend(); ++step) {
    const ruleset::RuleRef& ref = step->rule;
    if (ref.table != decided.table || ref.is_policy()) continue;
    const auto* jump = std::get_if<ruleset::Jump>(&ref.chain->rules[ref.rule].target);
    if (jump != nullptr && jump->chain == decided.chain->name) return ref.origin();
  }
  return decided.origin();
}

}  // namespace tails::cli
