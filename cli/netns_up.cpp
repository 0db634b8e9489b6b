#include "cli/commands.h"
#include "cli/guests.h"
#include "cli/run_lock.h"
#include "cli/transaction_report.h"
#include "policy/system_environment.h"

namespace tails::cli {
namespace {

using Clock = std::chrono::steady_clock;

Result<ExitStatus> run_netns_up(const Invocation& invocation) {
  const Clock::time_point start = Clock::now();
  const auto refused = [&](const Error& error) { return report_refusal(invocation, error, Clock::now() - start); };
  const Result<RunLock> lock = RunLock::take(invocation.global.wait);
  if (!lock) return refused(lock.error());
  const LiveSystem system;
  const policy::SystemEnvironment environment;
  const Result<GuestPolicy> guests = load_guest_policy(system, invocation.global, environment);
  if (!guests) return refused(guests.error());
  const auto chosen = choose_namespaces(guests->policy, invocation.arguments.operands());
  if (!chosen) return refused(chosen.error());
  if (!guests->is_in_force) {
    // With forwarding on and no filter, a guest would be a way out for everything.
    return refused({ErrorKind::kRefused, "no policy is in force on this machine, and guests come up behind one only",
                    "Run `tails-iptc apply` first.", 0});
  }
  if (auto up = bring_up(*chosen, *guests); !up) return refused(up.error());

  if (invocation.global.json) {
    std::vector<GuestReport> reports;
    for (const policy::Namespace* space : *chosen) {
      auto report = examine(*space);
      if (!report) return tl::unexpected(report.error());
      reports.push_back(*report);
    }
    print(guests_json(reports));
  } else if (invocation.global.verbosity >= 0) {
    std::vector<std::string_view> names;
    for (const policy::Namespace* space : *chosen) names.push_back(space->name);
    print(guests_line(invocation.out.paint(Ink::kGood, "Up:"), names, guests->policy, Clock::now() - start,
                      invocation.out));
  }
  return ExitStatus::kDone;
}

}  // namespace

constinit const Command kNetnsUp{
    .name = "netns up",
    .group = Group::kRules,
    .summary = "Make the network namespaces that the policy declares",
    .description =
        "Makes each namespace, or those named, with its veth pair, addresses, routes, settings and the rules inside, "
        "so that programs in it reach what its entry grants and nothing else. The namespaces are those of the policy "
        "that is in force. What stands already is looked over and mended; safe to run again at any time. When a step "
        "fails, everything that this run made is taken away again.",
    .options = {},
    .operands = {.name = "NAME",
                 .help = "Only these namespaces. Without it: all that the policy declares",
                 .most = 1000},
    .example =
        "sudo tails-iptc netns up\n"
        "sudo tails-iptc netns up tbb clearnet",
    .run = run_netns_up,
};

}  // namespace tails::cli
