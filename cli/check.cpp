#include <algorithm>

#include <fmt/format.h>

#include "cli/accounts.h"
#include "cli/commands.h"
#include "cli/findings_text.h"
#include "cli/json.h"
#include "cli/log.h"
#include "cli/operand.h"
#include "cli/progress.h"
#include "cli/rule_counts.h"
#include "policy/lower.h"
#include "policy/system_environment.h"
#include "proof/prove.h"

namespace tails::cli {
namespace {

Result<ExitStatus> run_check(const Invocation& invocation) {
  const policy::SystemEnvironment environment;
  std::vector<std::string> files = invocation.arguments.operands();
  if (files.empty()) files.push_back(policy_in_charge(invocation.global));

  ExitStatus status = ExitStatus::kDone;
  std::vector<json::CheckedPolicy> checked;
  for (const std::string& file : files) {
    progress::stage("Checking " + file);
    const Result<policy::Policy> policy = load_policy(file, invocation.global, environment);
    if (!policy) {
      log::error(policy.error());
      status = std::max(status, exit_status(policy.error().kind));
      checked.push_back({file, "", policy.error().message, {}, std::nullopt});
      continue;
    }
    const ruleset::RuleSet rules = policy::lower(*policy);
    const Result<proof::Proof> proof = proof::prove(rules, *policy);
    const Result<void> holds =
        !proof           ? tl::unexpected(proof.error())
        : proof->holds() ? Result<void>()
                         : refusal(*proof, rules, user_names(invocation.global, accounts_of(*policy), environment));
    if (!holds) {
      log::error(holds.error());
      status = std::max(status, exit_status(holds.error().kind));
      checked.push_back(
          {file, policy->name, holds.error().message, rules, proof ? std::optional(*proof) : std::nullopt});
      continue;
    }
    const std::vector<RuleCount> counts = rule_counts(rules);
    checked.push_back({file, policy->name, "", rules, *proof});
    if (invocation.global.json || invocation.global.verbosity < 0) continue;
    print(fmt::format("{} {}: policy \"{}\", {}; all {} leak properties hold\n", invocation.out.paint(Ink::kGood, "ok"),
                      file, policy->name, counts_in_words(counts), proof->findings.size()));
  }
  if (invocation.global.json) print(json::checked(checked));
  return status;
}

}  // namespace

constinit const Command kCheck{
    .name = "check",
    .group = Group::kInspect,
    .summary = "Read policies and say what is wrong with them",
    .description =
        "Reads policy files (or built-in profiles), looks up every account and says all that is wrong at once, "
        "each with its line; then proves the leak properties over the rules that the policy would become. Needs no "
        "root "
        "and touches no kernel. Without FILE the policy in charge is checked.",
    .options = {},
    .operands = {.name = "FILE",
                 .help = "A policy file or a built-in profile",
                 .most = 1000,
                 .completion = Completion::kProfile},
    .example =
        "tails-iptc check policy.toml\n"
        "tails-iptc --user-map debian-tor=107,clearnet=1001 check tails tails-i2p",
    .run = run_check,
};

}  // namespace tails::cli
