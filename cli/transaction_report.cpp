#include "cli/transaction_report.h"

#include <fmt/format.h>

#include "cli/in_charge.h"
#include "cli/json.h"
#include "cli/log.h"
#include "cli/rule_counts.h"
#include "policy/lower.h"
#include "ruleset/text_writer.h"

namespace tails::cli {
namespace {

/// "Removed 2 rules that are not the policy's:" and the rules, the first few of them unless -v.
void tell_foreign_rules(const Invocation& invocation, const iptc::Outcome& outcome) {
  if (outcome.foreign.empty()) return;
  constexpr size_t kFew = 10;
  const bool is_dry = outcome.kind == iptc::Outcome::Kind::kDryRun;
  const size_t shown =
      invocation.global.verbosity > 0 ? outcome.foreign.size() : std::min(kFew, outcome.foreign.size());
  std::string text =
      fmt::format("{} {} rule{} that {} not the policy's:", is_dry ? "would remove" : "removed", outcome.foreign.size(),
                  outcome.foreign.size() == 1 ? "" : "s", outcome.foreign.size() == 1 ? "is" : "are");
  for (size_t i = 0; i < shown; ++i) {
    const iptc::ForeignRule& foreign = outcome.foreign[i];
    text += fmt::format("\n  {} {}: {}", family_text(foreign.family), to_string(foreign.table),
                        ruleset::write_rule(foreign.family, foreign.chain, foreign.rule));
  }
  if (shown < outcome.foreign.size()) {
    text += fmt::format("\n  ... and {} more; -v names all", outcome.foreign.size() - shown);
  }
  log::notice(text);
}

/// Adds `sentence` to the remedy unless the state that is left behind stands there already.
void state(Error& error, std::string_view sentence) {
  for (const std::string_view said :
       {"Nothing was changed.", "The rules were not changed.", "The rules before are back", "ll traffic is blocked",
        "Blocking all traffic failed"}) {
    if (error.remedy.find(said) != std::string::npos) return;
  }
  // A remedy may end with a command, to which no full stop can be added.
  error.remedy += error.remedy.empty() ? "" : error.remedy.ends_with('.') ? " " : "\n";
  error.remedy += sentence;
}

constexpr std::string_view kNothing = "Nothing was changed.";
constexpr std::string_view kNoRule = "The rules were not changed.";

}  // namespace

void add_remains(Error& error, std::string_view what_remains) {
  if (const size_t at = error.remedy.find(kNothing); at != std::string::npos) {
    error.remedy.replace(at, kNothing.size(), kNoRule);
  } else {
    state(error, kNoRule);
  }
  error.remedy += fmt::format(" {}", what_remains);
}

iptc::Options transaction_options(const GlobalOptions& global, std::string policy) {
  iptc::Options options;
  options.policy = std::move(policy);
  options.wait = global.wait;
  options.lockdown = policy::lockdown();
  return options;
}

ExitStatus report(const Invocation& invocation, const iptc::Outcome& outcome, std::string_view success,
                  Milliseconds time, const Aftermath& aftermath, std::optional<unsigned> confirm_within) {
  for (const std::string& notice : outcome.notices) log::notice(notice);
  tell_foreign_rules(invocation, outcome);
  if (invocation.global.json) print(json::outcome(outcome, time, aftermath, confirm_within));
  if (!outcome.failure) {
    if (!invocation.global.json && invocation.global.verbosity >= 0) {
      print(
          fmt::format("{}  {}\n", success, invocation.out.paint(Ink::kFaint, fmt::format("{:.1f} ms", time.count()))));
    }
    return ExitStatus::kDone;
  }
  Error failure = *outcome.failure;
  const bool is_locked = outcome.kind == iptc::Outcome::Kind::kLockedDown;
  state(failure, is_locked ? "All traffic is blocked." : "The rules before are back in force.");
  log::error(failure);
  return is_locked ? ExitStatus::kLockedDown : ExitStatus::kRefused;
}

ExitStatus report_lockdown(const Invocation& invocation, Error error, std::chrono::steady_clock::time_point start) {
  const auto time = [&] { return std::chrono::steady_clock::now() - start; };
  const LiveSystem system;
  Result<iptc::Outcome> outcome =
      iptc::lockdown(system.get(), transaction_options(invocation.global, kFailureLockdownName));
  if (!outcome) {
    log::error(error);
    return report_refusal(invocation, outcome.error(), time());
  }
  error.kind = ErrorKind::kLockedDown;
  outcome->kind = iptc::Outcome::Kind::kLockedDown;
  outcome->failure = std::move(error);
  return report(invocation, *outcome, "", time());
}

ExitStatus report_refusal(const Invocation& invocation, Error error, Milliseconds time) {
  state(error, "Nothing was changed.");
  log::error(error);
  if (invocation.global.json) print(json::refused(error, time));
  return exit_status(error.kind);
}

}  // namespace tails::cli
