#pragma once

#include "ruleset/evaluator.h"

namespace tails::cli {

/// The entry of the policy that decided. Mostly that of the rule that gave the verdict; but where a rule sent the
/// packet to a chain that refuses or drops whatever comes, it is that rule's entry: `[lan] closed`, and not
/// `[blocked]`, which only says how to refuse. `evaluation` has its steps (Evaluator::explain).
ruleset::OriginIndex deciding_origin(const ruleset::Evaluation& evaluation);

}  // namespace tails::cli
