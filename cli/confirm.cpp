#include "iptc/confirm.h"

#include "cli/commands.h"
#include "cli/confirmation.h"
#include "cli/in_charge.h"
#include "cli/json.h"
#include "cli/transaction_report.h"

namespace tails::cli {
namespace {

Result<ExitStatus> run_confirm(const Invocation& invocation) {
  const LiveSystem system;
  const iptc::Options options = transaction_options(invocation.global, kLockdownName);
  const auto pending = iptc::pending_confirmation(system.get(), options.run_directory);
  const Result<void> kept = iptc::confirm(system.get(), options);
  if (!kept && kept.error().kind == ErrorKind::kRefused) return report_refusal(invocation, kept.error(), {});
  if (!kept) return tl::unexpected(kept.error());
  const bool was_guarded = !pending || !*pending || (*pending)->has_keeper;
  if (invocation.global.json) {
    print(json::confirmed());
  } else if (invocation.global.verbosity >= 0) {
    print(invocation.out.paint(Ink::kGood, "Confirmed:") + " what is in force stays." +
          (was_guarded ? "" : " (It would have stayed anyway: the process that takes it back was killed.)") + "\n");
  }
  return ExitStatus::kDone;
}

}  // namespace

constinit const Command kConfirm{
    .name = "confirm",
    .group = Group::kRules,
    .summary = "Keep what `apply --confirm` put in place",
    .description =
        "Ends the time in which the rules that `apply --confirm` put in place are taken back by themselves. Exit "
        "status "
        "1: nothing waits to be confirmed, or it came too late.",
    .options = {},
    .example =
        "sudo tails-iptc --policy new.toml apply --confirm 60\n"
        "sudo tails-iptc confirm",
    .run = run_confirm,
};

}  // namespace tails::cli
