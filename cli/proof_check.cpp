#include "cli/proof_check.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "cli/accounts.h"
#include "cli/findings_text.h"
#include "cli/log.h"
#include "cli/progress.h"
#include "proof/prove.h"

namespace tails::cli {

namespace {

/// What no exception may open.
constexpr std::array<std::string_view, 7> kBinding = {
    "internet-only-direct-users", "lan-dns",      "non-tcp-internet",          "transport-and-automap",
    "clearnet-no-loopback",       "tor-syn-only", "loopback-addresses-on-wire"};

/// The rules with the session's exceptions, judged by the policy without them.
Result<void> check_exceptions(const ruleset::RuleSet& rules, const policy::Policy& base, const UserNames& names) {
  Result<proof::Proof> proof = proof::prove(rules, base);
  if (!proof) return tl::unexpected(proof.error());
  std::erase_if(proof->findings, [](const proof::Finding& finding) {
    return std::ranges::find(kBinding, finding.property) == kBinding.end();
  });
  auto refused = refusal(*proof, rules, names);
  if (!refused) {
    Error& error = refused.error();
    constexpr std::string_view kUsual = "the policy fails";
    if (error.message.starts_with(kUsual)) {
      error.message.replace(0, kUsual.size(), "with this session's exceptions the policy fails");
    }
  }
  return refused;
}

}  // namespace

std::function<Result<void>(const ruleset::RuleSet& rules)> proof_check(const Operand& wanted,
                                                                       const GlobalOptions& global,
                                                                       const policy::Environment& environment) {
  return [&wanted, &global, &environment](const ruleset::RuleSet& rules) -> Result<void> {
    const auto start = std::chrono::steady_clock::now();
    size_t count = 0;
    for (const ruleset::Table& table : rules.tables) count += table.rule_count();
    progress::stage(fmt::format("Proving {} rules", count));
    const policy::Policy& policy = *wanted.policy;
    const Result<proof::Proof> proof = proof::prove(rules, policy);
    progress::stage("Putting the rules in place");
    if (!proof) return tl::unexpected(proof.error());
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    log::debug(fmt::format("proved in {:.1f} ms", time.count()));
    const UserNames names = user_names(global, accounts_of(policy), environment);
    if (!proof->holds()) return refusal(*proof, rules, names);
    if (!wanted.without_session) return {};
    return check_exceptions(rules, *wanted.without_session, names);
  };
}

}  // namespace tails::cli
