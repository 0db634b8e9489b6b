#include "cli/session_change.h"

#include <fmt/format.h>

#include "cli/aftermath.h"
#include "cli/in_charge.h"
#include "cli/live_system.h"
#include "cli/operand.h"
#include "cli/owner_tags.h"
#include "cli/policy_loading.h"
#include "cli/proof_check.h"
#include "cli/session_entries.h"
#include "cli/transaction_report.h"
#include "policy/read.h"
#include "policy/system_environment.h"

namespace tails::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = iptc::Outcome::Kind;

/// What the hooks would put in force, with the accounts of this run on top of those that `apply` was told.
Result<InCharge> charge_of(const iptc::System& system, const GlobalOptions& given) {
  GlobalOptions plain = given;
  plain.user_map.clear();
  Result<InCharge> charge = find_in_charge(system, plain);
  if (!charge) return charge;
  for (const auto& [name, uid] : given.user_map) charge->global.user_map.insert_or_assign(name, uid);
  return charge;
}

/// The rules as the folder has the exceptions now; after a change that could not be kept.
Result<void> put_rules_back(const iptc::System& system, const InCharge& charge, const policy::Environment& environment,
                            iptc::Options options) {
  auto before = load_policy_in_charge(charge.global, environment);
  if (!before) return tl::unexpected(before.error());
  if (auto kept = keep_owner_tags(system, *before); !kept) return kept;
  options.check = proof_check(*before, charge.global, environment);
  const auto outcome = iptc::commit(system, before->rules, options);
  if (!outcome) return tl::unexpected(outcome.error());
  if (outcome->failure) return tl::unexpected(*outcome->failure);
  return {};
}

}  // namespace

Result<ExitStatus> change_session(const Invocation& invocation, const SessionChange& change) {
  const Clock::time_point start = Clock::now();
  const auto refused = [&](const Error& error) { return report_refusal(invocation, error, Clock::now() - start); };
  const auto take_back = [&](Error& error) {
    if (const auto back = change.take_back(); !back) add_remains(error, back.error().message + ".");
  };
  const LiveSystem system;
  const policy::SystemEnvironment environment;
  const Result<InCharge> found = charge_of(system.get(), invocation.global);
  if (!found) return refused(found.error());
  const InCharge& charge = *found;
  const std::string policy = policy_in_charge(charge.global);
  if (change.must_fit) {
    const auto loaded = load_or_refuse(policy, charge.global, environment, change.session);
    if (!loaded) return refused(loaded.error());
  }
  Result<Operand> wanted = load_policy_with_session(policy, charge.global, environment, change.session);
  if (!wanted) return refused(wanted.error());
  if (const Result<void> kept = keep_owner_tags(system.get(), *wanted); !kept) return refused(kept.error());
  iptc::Options options =
      transaction_options(charge.global, recorded_name(wanted->policy->name, wanted->policy->source));
  options.check = proof_check(*wanted, charge.global, environment);

  if (!charge.is_in_force || charge.is_lockdown) {
    if (auto sound = options.check(wanted->rules); !sound) return refused(sound.error());
    if (auto done = change.before(); !done) return refused(done.error());
    if (auto done = change.after(); !done) {
      take_back(done.error());
      return refused(done.error());
    }
    iptc::Outcome untouched;
    untouched.kind = Kind::kUnchanged;
    return report(invocation, untouched,
                  change.success + "; no policy is in force, so it counts from the next `tails-iptc apply`.",
                  Clock::now() - start);
  }

  if (auto done = change.before(); !done) return refused(done.error());
  Result<iptc::Outcome> outcome = iptc::commit(system.get(), std::move(wanted->rules), options);
  const bool is_in_force = outcome && (outcome->kind == Kind::kApplied || outcome->kind == Kind::kUnchanged);
  if (!is_in_force) {
    take_back(outcome ? *outcome->failure : outcome.error());
    if (!outcome) return refused(outcome.error());
    return report(invocation, *outcome, "", Clock::now() - start);
  }
  if (auto done = change.after(); !done) {
    Error& error = done.error();
    take_back(error);
    if (const auto back = put_rules_back(system.get(), charge, environment, options); !back) {
      error.remedy += fmt::format(
          "{}The rules are those with the change, and could not be put back ({}): run "
          "`tails-iptc apply`.",
          error.remedy.empty() ? "" : " ", back.error().message);
      return tl::unexpected(error);
    }
    return refused(error);
  }
  tell_unnoted(note_in_charge(system.get(), charge.global, options.policy));
  const Aftermath aftermath = end_flows(FlushMode::kRevoked, [&] { return rules_again(*wanted); });
  return report(invocation, *outcome, change.success + "." + aftermath.text, Clock::now() - start, aftermath);
}

}  // namespace tails::cli
