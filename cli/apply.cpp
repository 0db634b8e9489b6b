#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "cli/aftermath.h"
#include "cli/commands.h"
#include "cli/confirmation.h"
#include "cli/host_settings.h"
#include "cli/in_charge.h"
#include "cli/log.h"
#include "cli/operand.h"
#include "cli/owner_tags.h"
#include "cli/progress.h"
#include "cli/proof_check.h"
#include "cli/rule_counts.h"
#include "cli/run_lock.h"
#include "cli/text_diff.h"
#include "cli/transaction_report.h"
#include "policy/system_environment.h"
#include "ruleset/text_writer.h"

namespace tails::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::array kApplyOptions{
    OptionSpec{.name = "--dry-run", .help = "Say what would change, rule by rule, and change nothing"},
    OptionSpec{.name = "--confirm",
               .value = "SECONDS",
               .help = "Take the change back by itself unless `tails-iptc confirm` comes within this time; where there "
                       "was no filter before, block all traffic"},
    OptionSpec{.name = "--or-lockdown",
               .help =
                   "Where the policy cannot be put in place, block all traffic instead of leaving the machine as it "
                   "was (exit status 4); for boot"},
    OptionSpec{.name = "--host",
               .help = "Also set what the policy's [host] names: kernel parameters and /etc/resolv.conf"},
    OptionSpec{.name = "--persist", .help = "With --host: the kernel parameters for later boots too, in /etc/sysctl.d"},
    OptionSpec{.name = "--flush",
               .help = "Which flows end with it: those that the policy forbids, all, or none",
               .choices = "revoked|all|none",
               .fallback = "revoked"},
    OptionSpec{.name = "--tag-owners",
               .help =
                   "Write into each frame that leaves whose it is, for `fastpath run` behind this machine, which takes "
                   "the tag off. Without it an earlier tagging ends",
               .choices = "dscp"},
};

FlushMode flush_mode(const Arguments& arguments) {
  const std::string_view word = arguments.value("--flush").value_or("revoked");
  return word == "all" ? FlushMode::kAll : word == "none" ? FlushMode::kNone : FlushMode::kRevoked;
}

/// The live tables that differ from the wanted ones, line by line.
std::string changes(const iptc::System& system, const ruleset::RuleSet& wanted, const iptc::Outcome& outcome,
                    const Screen& screen) {
  const Result<iptc::Live> live = iptc::read_live(system);
  if (!live) return {};
  std::string text;
  for (const iptc::Outcome::TableResult& result : outcome.tables) {
    if (!result.differed) continue;
    const ruleset::Table open = ruleset::Table::open(result.family, result.table);
    const ruleset::Table* old_table = live->rules.find(result.family, result.table);
    const ruleset::Table* new_table = wanted.find(result.family, result.table);
    const std::string before = ruleset::write_save(old_table == nullptr ? open : *old_table);
    const std::string after = ruleset::write_save(new_table == nullptr ? open : *new_table);
    text += fmt::format("{} {}\n{}", family_text(result.family), to_string(result.table),
                        changes_text(line_changes(before, after), screen, 2));
  }
  return text;
}

std::string success(const iptc::Outcome& outcome, const std::string& policy, const Screen& screen) {
  using Kind = iptc::Outcome::Kind;
  const std::string counts = counts_in_words(rule_counts(outcome));
  switch (outcome.kind) {
    case Kind::kUnchanged: return fmt::format("\"{}\" is in force already: {}; nothing was changed.", policy, counts);
    case Kind::kDryRun: return fmt::format("Would apply \"{}\": {}; nothing was changed.", policy, counts);
    case Kind::kApplied:
    case Kind::kRolledBack:
    case Kind::kLockedDown: break;
  }
  return fmt::format("{} \"{}\": {}; nothing else gets out.", screen.paint(Ink::kGood, "Applied"), policy, counts);
}

/// Notices of what came before stand first; where there is no outcome to bear them, they are said at once.
void tell_first(std::optional<std::string> notice, Result<iptc::Outcome>& outcome) {
  if (!notice) return;
  if (outcome) {
    std::vector<std::string>& notices = outcome->notices;
    notices.push_back(*std::move(notice));
    std::rotate(notices.begin(), notices.end() - 1, notices.end());
  } else {
    log::notice(*notice);
  }
}

void tell_times(const iptc::Outcome::Times& times, Clock::duration since_proof) {
  const Milliseconds needed = times.encoding + times.committing;
  log::debug(fmt::format("encoded and committed in {:.1f} ms; read, compared and recorded in {:.1f} ms", needed.count(),
                         (Milliseconds(since_proof) - needed).count()));
}

Result<ExitStatus> run_apply(const Invocation& invocation) {
  const Clock::time_point start = Clock::now();
  constexpr uint32_t kLongest = 7 * 24 * 3600;
  const auto confirm_within = invocation.arguments.number("--confirm", 1, kLongest);
  if (!confirm_within) return tl::unexpected(confirm_within.error());
  const policy::SystemEnvironment environment;
  progress::stage("Reading the policy");
  const bool or_lockdown = invocation.arguments.has("--or-lockdown");
  Result<Operand> wanted = load_policy_in_charge(invocation.global, environment);
  if (!wanted) {
    if (or_lockdown) return report_lockdown(invocation, wanted.error(), start);
    return report_refusal(invocation, wanted.error(), Clock::now() - start);
  }
  const bool tags_owners = invocation.arguments.has("--tag-owners");
  if (tags_owners) {
    if (const Result<void> added = add_owner_tags(*wanted); !added) {
      if (or_lockdown) return report_lockdown(invocation, added.error(), start);
      return report_refusal(invocation, added.error(), Clock::now() - start);
    }
  }
  const std::string& name = wanted->policy->name;
  log::debug(fmt::format("lowered to {}", counts_in_words(rule_counts(wanted->rules))));

  iptc::Options options = transaction_options(invocation.global, recorded_name(name, wanted->policy->source));
  options.dry_run = invocation.arguments.has("--dry-run");
  options.or_lockdown = or_lockdown;
  Clock::time_point proved = start;
  options.check = [check = proof_check(*wanted, invocation.global, environment),
                   &proved](const ruleset::RuleSet& rules) {
    Result<void> sound = check(rules);
    proved = Clock::now();
    return sound;
  };
  if (*confirm_within) options.confirm_within = std::chrono::seconds(**confirm_within);
  options.after_taking_back = end_flows_of_unconfirmed_rules;
  const Result<RunLock> lock = RunLock::take(invocation.global.wait);
  if (!lock && or_lockdown) return report_lockdown(invocation, lock.error(), start);
  if (!lock) return report_refusal(invocation, lock.error(), Clock::now() - start);
  const LiveSystem system;
  std::optional<HostSettings> host;
  if (invocation.arguments.has("--host")) {
    auto put = HostSettings::put(*wanted->policy, {invocation.arguments.has("--persist"), options.dry_run});
    if (!put && or_lockdown) return report_lockdown(invocation, put.error(), start);
    if (!put) return report_refusal(invocation, put.error(), Clock::now() - start);
    host = std::move(*put);
  }
  auto mended = options.dry_run ? std::nullopt : mend_unconfirmed(system.get(), options);
  Result<iptc::Outcome> outcome = iptc::commit(system.get(), std::move(wanted->rules), options);
  if (outcome) tell_times(outcome->times, Clock::now() - proved);
  tell_first(std::move(mended), outcome);
  if (host && (!outcome || outcome->failure)) {
    if (const auto back = host->take_back(); !back) {
      add_remains(outcome ? *outcome->failure : outcome.error(), settings_remain(back.error()));
    }
  }
  if (!outcome) return report_refusal(invocation, outcome.error(), Clock::now() - start);
  // Also where nothing changed: an earlier run may have been killed between the rules and the flows.
  Aftermath aftermath;
  if (outcome->kind == iptc::Outcome::Kind::kApplied || outcome->kind == iptc::Outcome::Kind::kUnchanged) {
    tell_unnoted(note_in_charge(system.get(), invocation.global, options.policy));
    aftermath = end_flows(flush_mode(invocation.arguments), [&] { return rules_again(*wanted); });
    if (tags_owners) log::notice(kTagWarning);
  }
  const Milliseconds time = Clock::now() - start;
  if (outcome->kind == iptc::Outcome::Kind::kDryRun && !invocation.global.json) {
    print(changes(system.get(), rules_again(*wanted), *outcome, invocation.out));
  }
  std::string text = success(*outcome, name, invocation.out) + (host ? host->text() : "") + aftermath.text;
  std::optional<unsigned> waits;
  if (*confirm_within && outcome->kind == iptc::Outcome::Kind::kApplied) {
    waits = **confirm_within;
    text += " " + how_to_confirm(*waits, outcome->unconfirmed_blocks);
  }
  return report(invocation, *outcome, text, time, aftermath, waits);
}

Result<ExitStatus> run_unconfined(const Invocation& invocation, const Error& error) {
  const Clock::time_point start = Clock::now();
  if (invocation.arguments.has("--or-lockdown")) return report_lockdown(invocation, error, start);
  return report_refusal(invocation, error, Clock::now() - start);
}

}  // namespace

constinit const Command kApply{
    .name = "apply",
    .group = Group::kRules,
    .summary = "Put the policy in place, as one transaction",
    .description =
        "Proves the policy's leak properties, then puts its rules into filter and nat of IPv4 and filter of IPv6. At "
        "no instant is anything let "
        "through that neither the old nor the new rules allow. The three tables are the policy's whole: foreign "
        "rules in them are named and removed. Does nothing where the live rules already are the policy's. "
        "Where the system refuses, the rules stay, or come back, as they were. Ends by removing the flows that were "
        "opened under other rules and that the policy forbids, and their sockets.\n\n"
        "--confirm is for whoever could lock themselves out: a process of its own, which survives the terminal, waits "
        "for "
        "`tails-iptc confirm` and else brings the rules before back. An open filter is never brought back: then all "
        "traffic is blocked.",
    .options = kApplyOptions,
    .example =
        "sudo tails-iptc apply\n"
        "sudo tails-iptc --policy policy.toml apply --dry-run\n"
        "sudo tails-iptc --policy policy.toml apply --confirm 60\n"
        "sudo tails-iptc --user-map debian-tor=107,clearnet=1001 apply --or-lockdown",
    .run = run_apply,
    .run_unconfined = run_unconfined,
};

}  // namespace tails::cli
