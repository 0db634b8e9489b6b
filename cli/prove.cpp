#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "cli/accounts.h"
#include "cli/commands.h"
#include "cli/findings_text.h"
#include "cli/json.h"
#include "cli/operand.h"
#include "cli/progress.h"
#include "cli/text_table.h"
#include "policy/system_environment.h"
#include "proof/prove.h"

namespace tails::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

std::string claims_text(const proof::Proof& proof, const Screen& screen) {
  TextTable table({{}, {}, {"", TextTable::Align::kLeft, true}});
  for (size_t i = 0; i < proof.findings.size(); ++i) {
    const proof::Finding& finding = proof.findings[i];
    if (finding.holds == Tristate::kYes) {
      table.add({{"holds", Ink::kGood},
                 {std::string(finding.property), Ink::kName},
                 {std::string(proof::properties()[i].claim)}});
    }
  }
  return table.empty() ? "" : table.render(screen);
}

std::string failures_text(const proof::Proof& proof, const Operand& operand, std::string_view operand_word,
                          const UserNames& names, const Screen& screen) {
  std::string text;
  for (const proof::Finding& finding : proof.findings) {
    if (finding.holds != Tristate::kYes) text += finding_text(finding, operand.rules, names, screen, operand_word);
  }
  return text;
}

std::string assumptions_text(const proof::Proof& proof, const Screen& screen) {
  std::string text;
  for (const std::string& note : proof.notes) text += screen.wrap("Note: " + note + ".") + "\n";
  text += screen.paint(Ink::kFaint, "Taken for granted:") + "\n";
  for (const std::string_view assumption : proof::assumptions())
    text += screen.paint(Ink::kFaint, screen.wrap(assumption, 2)) + "\n";
  return text;
}

std::string summary(const proof::Proof& proof, const Operand& operand, const policy::Policy& policy, Milliseconds time,
                    const Screen& screen) {
  const auto count = [&](Tristate holds) { return std::ranges::count(proof.findings, holds, &proof::Finding::holds); };
  const auto failed = count(Tristate::kNo);
  const auto unknown = count(Tristate::kUnknown);
  std::string verdict = fmt::format("All {} leak properties hold", proof.findings.size());
  Ink ink = Ink::kGood;
  if (failed + unknown > 0) {
    verdict = fmt::format("{} of {} leak properties fail", failed, proof.findings.size());
    if (unknown > 0) verdict += fmt::format(", {} depend on what cannot be read", unknown);
    ink = failed > 0 ? Ink::kBad : Ink::kWarning;
  }
  const bool is_its_own = operand.policy.has_value();
  return fmt::format("{}: {}{}, for every packet of IPv4 and IPv6.  {}\n", screen.paint(ink, verdict), operand.name,
                     is_its_own ? "" : fmt::format(" under policy \"{}\"", policy.name),
                     screen.paint(Ink::kFaint, fmt::format("{:.1f} ms", time.count())));
}

Result<ExitStatus> run_prove(const Invocation& invocation) {
  const policy::SystemEnvironment environment;
  const std::vector<std::string>& operands = invocation.arguments.operands();
  const std::string operand_word = operands.empty() ? "live" : operands.front();
  const Result<Operand> operand = load_operand(operand_word, invocation.global, environment);
  if (!operand) return tl::unexpected(operand.error());
  const Result<policy::Policy> wanted = policy_for(*operand, invocation.global, environment);
  if (!wanted) return tl::unexpected(wanted.error());
  const policy::Policy& policy = *wanted;

  const Clock::time_point start = Clock::now();
  progress::stage("Proving");
  const Result<proof::Proof> proof = proof::prove(operand->rules, policy);
  if (!proof) return tl::unexpected(proof.error());
  const Milliseconds time = Clock::now() - start;
  const ExitStatus status = proof->holds() ? ExitStatus::kDone : ExitStatus::kNo;
  if (invocation.global.json) {
    print(json::proof(*proof, operand->rules, time));
    return status;
  }
  const Screen& screen = invocation.out;
  std::string text;
  if (invocation.global.verbosity >= 0) text += claims_text(*proof, screen);
  if (!proof->holds()) {
    const UserNames names = user_names(invocation.global, accounts_of(policy), environment);
    text += failures_text(*proof, *operand, operand_word, names, screen);
  }
  if (invocation.global.verbosity >= 0) text += assumptions_text(*proof, screen);
  print(text + summary(*proof, *operand, policy, time, screen));
  return status;
}

}  // namespace

constinit const Command kProve{
    .name = "prove",
    .group = Group::kInspect,
    .summary = "Prove that nothing leaks: for every packet, over rules of any origin",
    .description =
        "Proves the leak properties for all packets at once, over the rules in the kernel (default) or whatever X "
        "names, whoever wrote them. A property that fails comes with a packet that gets through, as plain as can be, "
        "and with the rule (and policy line) that lets it; one that depends on a match that cannot be read is unknown "
        "and names that rule. What the properties demand is the policy's to say: X's own where X is one, else the "
        "policy in charge.",
    .options = {},
    .operands = {.name = "X", .help = kOperandHelp, .most = 1, .completion = Completion::kOperand},
    .example =
        "sudo tails-iptc prove\n"
        "tails-iptc prove tails-i2p\n"
        "tails-iptc --policy policy.toml --json prove v4.rules,v6.rules",
    .run = run_prove,
};

}  // namespace tails::cli
