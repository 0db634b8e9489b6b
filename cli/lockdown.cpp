#include "cli/commands.h"
#include "cli/transaction_report.h"

namespace tails::cli {
namespace {

using Clock = std::chrono::steady_clock;

Result<ExitStatus> run(const Invocation& invocation) {
  const Clock::time_point start = Clock::now();
  const LiveSystem system;
  const Result<iptc::Outcome> outcome =
      iptc::lockdown(system.get(), transaction_options(invocation.global, "lockdown"));
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
    .run = run,
};

}  // namespace tails::cli
