#include <algorithm>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/guests.h"
#include "cli/run_lock.h"
#include "cli/transaction_report.h"
#include "policy/system_environment.h"

namespace tails::cli {
namespace {

using Clock = std::chrono::steady_clock;

/// A namespace that the policy no longer declares, recognised by what `netns up` gave it. Nullopt: not ours.
Result<std::optional<host::Guest>> left_over(const std::string& name) {
  const auto interface = InterfaceName::make("veth-" + name);
  if (!interface || name.find('/') != std::string::npos || name.starts_with('.')) return std::nullopt;
  const host::Guest guest{name, *interface, {}, {}, 0, false, false};
  const auto state = host::state_of(guest);
  if (!state) return tl::unexpected(state.error());
  return *state == host::GuestState::kUp ? std::optional(guest) : std::nullopt;
}

Result<std::vector<host::Guest>> choose(const policy::Policy& policy, const std::vector<std::string>& names) {
  std::vector<host::Guest> doomed;
  std::vector<std::string> declared;
  for (const std::string& name : names) {
    const bool is_declared =
        std::ranges::find(policy.namespaces, name, &policy::Namespace::name) != policy.namespaces.end();
    auto stray = is_declared ? Result<std::optional<host::Guest>>(std::nullopt) : left_over(name);
    if (!stray) return tl::unexpected(stray.error());
    if (*stray) {
      doomed.push_back(std::move(**stray));
    } else {
      declared.push_back(name);
    }
  }
  if (!names.empty() && declared.empty()) return doomed;
  const auto chosen = choose_namespaces(policy, declared);
  if (!chosen) return tl::unexpected(chosen.error());
  for (const policy::Namespace* space : *chosen) doomed.push_back(guest_of(*space));
  return doomed;
}

Result<ExitStatus> run_netns_down(const Invocation& invocation) {
  const Clock::time_point start = Clock::now();
  const auto refused = [&](const Error& error) { return report_refusal(invocation, error, Clock::now() - start); };
  const Result<RunLock> lock = RunLock::take(invocation.global.wait);
  if (!lock) return refused(lock.error());
  const LiveSystem system;
  const policy::SystemEnvironment environment;
  const Result<GuestPolicy> guests = load_guest_policy(system, invocation.global, environment);
  if (!guests) return refused(guests.error());
  const auto doomed = choose(guests->policy, invocation.arguments.operands());
  if (!doomed) return refused(doomed.error());
  if (auto down = take_down(*doomed, *guests); !down) {
    Error& error = down.error();
    error.remedy +=
        fmt::format("{}Some of it may be gone already: run it again to finish.", error.remedy.empty() ? "" : " ");
    return tl::unexpected(error);
  }

  if (invocation.global.json) {
    std::vector<GuestReport> reports;
    for (const policy::Namespace& space : guests->policy.namespaces) {
      const bool is_chosen = std::ranges::find(*doomed, space.name, &host::Guest::name) != doomed->end();
      if (is_chosen) reports.push_back({&space, host::GuestState::kAbsent, std::nullopt});
    }
    print(guests_json(reports));
  } else if (invocation.global.verbosity >= 0) {
    std::vector<std::string_view> names;
    for (const host::Guest& guest : *doomed) names.push_back(guest.name);
    print(guests_line("Down:", names, guests->policy, Clock::now() - start, invocation.out));
  }
  return ExitStatus::kDone;
}

}  // namespace

constinit const Command kNetnsDown{
    .name = "netns down",
    .group = Group::kRules,
    .summary = "Remove network namespaces that `netns up` made",
    .description =
        "Removes each namespace of the policy, or those named: its veth pair, its name and, with the last one that has "
        "Internet access, this machine's forwarding. Programs that still run inside are cut off at once. What a killed "
        "run left is removed as well; what is not there is fine. A namespace that the policy no longer declares is "
        "removed when it is named.",
    .options = {},
    .operands = {.name = "NAME",
                 .help = "Only these namespaces. Without it: all that the policy declares",
                 .most = 1000},
    .example = "sudo tails-iptc netns down clearnet",
    .run = run_netns_down,
};

}  // namespace tails::cli
