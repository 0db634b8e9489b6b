#include "cli/commands.h"
#include "cli/in_charge.h"
#include "cli/run_lock.h"
#include "cli/transaction_report.h"

namespace tails::cli {
namespace {

using Clock = std::chrono::steady_clock;

Result<ExitStatus> run_lockdown(const Invocation& invocation) {
  const Clock::time_point start = Clock::now();
  const LiveSystem system;
  const iptc::Options options = transaction_options(invocation.global, kLockdownName);
  // Whoever is at work with a policy could put it in force after us. Waiting for them first would not be "at once":
  // so block, wait, and block what they may have opened.
  const Result<RunLock> lock = RunLock::take(std::chrono::milliseconds(0));
  Result<iptc::Outcome> outcome = iptc::lockdown(system.get(), options);
  if (!lock && outcome) {
    const Result<RunLock> late_lock = RunLock::take(invocation.global.wait);
    const Result<iptc::Outcome> again = iptc::lockdown(system.get(), options);
    if (again && again->kind != iptc::Outcome::Kind::kUnchanged) outcome = again;
  }
  if (!outcome) return report_refusal(invocation, outcome.error(), Clock::now() - start);
  const std::string success = invocation.out.paint(Ink::kStrong, "Locked down:") +
                              " nothing gets in or out; only what is established on loopback goes on. "
                              "`tails-iptc apply` puts the policy back.";
  return report(invocation, *outcome, success, Clock::now() - start);
}

}  // namespace

constinit const Command kLockdown{
    .name = "lockdown",
    .group = Group::kRules,
    .summary = "Block everything at once",
    .description =
        "Blocks all traffic of both families, in, out and through, but for connections that are established on "
        "loopback. Reads no policy, so it also works where the policy is broken. `tails-iptc apply` ends it.",
    .options = {},
    .example = "sudo tails-iptc lockdown",
    .run = run_lockdown,
};

}  // namespace tails::cli
