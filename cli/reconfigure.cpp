#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cli/aftermath.h"
#include "cli/commands.h"
#include "cli/confirmation.h"
#include "cli/in_charge.h"
#include "cli/log.h"
#include "cli/operand.h"
#include "cli/owner_tags.h"
#include "cli/progress.h"
#include "cli/proof_check.h"
#include "cli/rule_counts.h"
#include "cli/run_lock.h"
#include "cli/transaction_report.h"
#include "confine/confine.h"
#include "host/clearnet_resolver.h"
#include "policy/system_environment.h"

namespace tails::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = iptc::Outcome::Kind;

constexpr std::array kReconfigureOptions{
    OptionSpec{.name = "--interface",
               .value = "IF",
               .help = "The interface that changed; only said in the log",
               .completion = Completion::kInterface},
    OptionSpec{
        .name = "--event", .value = "E", .help = "What happened to it, as the hook calls it; only said in the log"},
};

/// Ten hooks may run at once, each after the one before.
constexpr std::chrono::seconds kLeastWait{60};

bool is_in_force(const iptc::Outcome& outcome) {
  return outcome.kind == Kind::kApplied || outcome.kind == Kind::kUnchanged;
}

/// The resolvers that the network gave, for the user who may ask them. The environment is the hook's.
bool write_resolvers(const policy::Policy& policy) {
  const std::string& path = policy.host.clearnet_resolver_file;
  if (path.empty()) return false;
  const host::Resolvers resolvers = host::read_resolvers([](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  });
  // An event without resolvers says nothing about those we have.
  if (resolvers.source.empty()) return false;
  for (const std::string& word : resolvers.refused) {
    log::warning(fmt::format("{} names a resolver that is none: {:?}", resolvers.source, word));
  }
  const Result<bool> written = host::refill(path, host::resolver_file(resolvers));
  if (!written) {
    log::warning(written.error().message);
    return false;
  }
  return *written;
}

std::string success(const Invocation& invocation, const iptc::Outcome& outcome, std::string_view name,
                    const Aftermath& aftermath) {
  const std::string counts = counts_in_words(rule_counts(outcome));
  std::string text =
      outcome.kind == Kind::kUnchanged
          ? fmt::format("\"{}\" is in force: {}.", name, counts)
          : fmt::format("{} \"{}\" again: {}.", invocation.out.paint(Ink::kGood, "Applied"), name, counts);
  if (aftermath.resolvers_written) text += " Wrote the resolvers of this network.";
  return text + aftermath.text;
}

Result<ExitStatus> run_reconfigure(const Invocation& invocation) {
  const Clock::time_point start = Clock::now();
  log::debug(fmt::format("reconfigure: {} {}", invocation.arguments.value("--interface").value_or("-"),
                         invocation.arguments.value("--event").value_or("-")));
  const auto lock = RunLock::take(std::max<std::chrono::milliseconds>(invocation.global.wait, kLeastWait));
  if (!lock) return report_refusal(invocation, lock.error(), Clock::now() - start);

  const LiveSystem system;
  // First of all: it decides which rules are those in force.
  iptc::Options mending = transaction_options(invocation.global, "");
  mending.after_taking_back = end_flows_of_unconfirmed_rules;
  if (const auto mended = mend_unconfirmed(system.get(), mending)) log::notice(*mended);
  const auto refused = [&](const Error& error) { return report_refusal(invocation, error, Clock::now() - start); };
  const Result<InCharge> found = find_in_charge(system.get(), invocation.global);
  if (!found) return refused(found.error());
  const InCharge& charge = *found;
  if (charge.is_lockdown) {
    if (const auto settled = confine::settle(); !settled) return refused(settled.error());
    const Result<iptc::Outcome> outcome =
        iptc::lockdown(system.get(), transaction_options(invocation.global, kLockdownName));
    if (!outcome) return refused(outcome.error());
    return report(invocation, *outcome, "Locked down, and stays so: `tails-iptc apply` puts the policy back.",
                  Clock::now() - start);
  }

  const policy::SystemEnvironment environment;
  Result<Operand> wanted = load_policy_in_charge(charge.global, environment);
  std::vector<std::string> places;
  if (wanted && !wanted->policy->host.clearnet_resolver_file.empty()) {
    places.push_back(wanted->policy->host.clearnet_resolver_file);
  }
  const Result<void> settled = confine::settle(places);
  // Rules that are in force stay where they cannot be written again; an open machine does not stay open.
  const Error* const problem = !settled ? &settled.error() : !wanted ? &wanted.error() : nullptr;
  if (problem != nullptr) return charge.is_in_force ? refused(*problem) : report_lockdown(invocation, *problem, start);
  if (const Result<void> kept = keep_owner_tags(system.get(), *wanted); !kept) return refused(kept.error());
  const policy::Policy& policy = *wanted->policy;
  iptc::Options options = transaction_options(charge.global, recorded_name(policy.name, policy.source));
  options.or_lockdown = !charge.is_in_force;
  options.check = proof_check(*wanted, charge.global, environment);
  progress::stage("Putting the rules in place");
  const Result<iptc::Outcome> outcome = iptc::commit(system.get(), std::move(wanted->rules), options);
  if (!outcome) return refused(outcome.error());

  Aftermath aftermath;
  if (is_in_force(*outcome)) {
    // Also where the run that put these rules in force did not come so far.
    if (!charge.is_in_force || !charge.is_noted)
      tell_unnoted(note_in_charge(system.get(), charge.global, options.policy));
    const bool resolvers_written = write_resolvers(policy);
    aftermath = end_flows(FlushMode::kRevokedAndDead, [&] { return rules_again(*wanted); });
    aftermath.resolvers_written = resolvers_written;
  }
  return report(invocation, *outcome, success(invocation, *outcome, policy.name, aftermath), Clock::now() - start,
                aftermath);
}

/// Rules that are in force stay, and so does a lockdown; an open machine does not stay open.
Result<ExitStatus> run_unconfined(const Invocation& invocation, const Error& error) {
  const Clock::time_point start = Clock::now();
  const auto lock = RunLock::take(std::max<std::chrono::milliseconds>(invocation.global.wait, kLeastWait));
  const LiveSystem system;
  const Result<InCharge> charge = find_in_charge(system.get(), invocation.global);
  if (lock && charge && !charge->is_in_force && !charge->is_lockdown) {
    return report_lockdown(invocation, error, start);
  }
  return report_refusal(invocation, error, Clock::now() - start);
}

}  // namespace

constinit const Command kReconfigure{
    .name = "reconfigure",
    .group = Group::kRules,
    .summary = "Follow a change of the network; for hooks",
    .description =
        "What NetworkManager's and ifupdown's hooks run when an interface comes, goes or gets another address. Puts "
        "the policy that is in force (or, where none is, the one that `apply` would take) in force again, writes the "
        "resolvers that the hook's environment names into the clearnet user's file, and removes flows of addresses "
        "that are gone and flows that the policy forbids. After `lockdown` it keeps everything blocked. It may be run "
        "at any time and any number of times at once.",
    .options = kReconfigureOptions,
    .example = "sudo tails-iptc reconfigure --interface eth0 --event up",
    .run = run_reconfigure,
    .run_unconfined = run_unconfined,
};

}  // namespace tails::cli
