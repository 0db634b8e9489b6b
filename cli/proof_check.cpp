#include "cli/proof_check.h"

#include <fmt/format.h>

#include "cli/accounts.h"
#include "cli/findings_text.h"
#include "cli/log.h"
#include "cli/progress.h"
#include "proof/prove.h"

namespace tails::cli {

std::function<Result<void>(const ruleset::RuleSet& rules)> proof_check(const policy::Policy& policy,
                                                                       const GlobalOptions& global,
                                                                       const policy::Environment& environment) {
  return [&policy, &global, &environment](const ruleset::RuleSet& rules) -> Result<void> {
    const auto start = std::chrono::steady_clock::now();
    size_t count = 0;
    for (const ruleset::Table& table : rules.tables) count += table.rule_count();
    progress::stage(fmt::format("Proving {} rules", count));
    const Result<proof::Proof> proof = proof::prove(rules, policy);
    progress::stage("Putting the rules in place");
    if (!proof) return tl::unexpected(proof.error());
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    log::debug(fmt::format("proved in {:.1f} ms", time.count()));
    if (proof->holds()) return {};
    return refusal(*proof, rules, user_names(global, accounts_of(policy), environment));
  };
}

}  // namespace tails::cli
