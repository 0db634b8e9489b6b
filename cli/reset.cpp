#include <array>

#include "cli/commands.h"
#include "cli/run_lock.h"
#include "cli/transaction_report.h"

namespace tails::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::array kResetOptions{
    OptionSpec{.name = "--open", .help = "Yes, every program may then reach the network without Tor"},
};

Result<ExitStatus> run_reset(const Invocation& invocation) {
  if (!invocation.arguments.has("--open")) {
    return fail(
        ErrorKind::kUsage, "reset opens this machine: it needs --open",
        "Without the filter every program of every user reaches the network directly, without Tor, and gives away "
        "who and where you are. If that is what you want: `tails-iptc reset --open`. To block everything "
        "instead: `tails-iptc lockdown`. Nothing was changed.");
  }
  const Clock::time_point start = Clock::now();
  const Result<RunLock> lock = RunLock::take(invocation.global.wait);
  if (!lock) return report_refusal(invocation, lock.error(), Clock::now() - start);
  const LiveSystem system;
  const Result<iptc::Outcome> outcome = iptc::reset_open(system.get(), transaction_options(invocation.global, "open"));
  if (!outcome) return report_refusal(invocation, outcome.error(), Clock::now() - start);
  const std::string success = invocation.out.paint(Ink::kWarning, "Open:") +
                              " the filter is removed. Every program now reaches the network directly, without Tor.";
  return report(invocation, *outcome, success, Clock::now() - start);
}

}  // namespace

constinit const Command kReset{
    .name = "reset",
    .group = Group::kRules,
    .summary = "Remove the filter: everything may leave",
    .description =
        "Empties filter and nat of IPv4 and filter of IPv6 and lets them accept everything. Every program of "
        "every user then reaches the network directly, without Tor. That is refused unless --open says that it "
        "is meant.",
    .options = kResetOptions,
    .example = "sudo tails-iptc reset --open",
    .run = run_reset,
};

}  // namespace tails::cli
