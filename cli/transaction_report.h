#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "cli/aftermath.h"
#include "cli/command.h"
#include "cli/live_system.h"
#include "iptc/transaction.h"

/// What `apply`, `lockdown` and `reset` have in common: settings in, the story of a transaction out.
namespace tails::cli {

using Milliseconds = std::chrono::duration<double, std::milli>;

/// Options with --wait and the lockdown rules filled in. `policy` is for the record.
iptc::Options transaction_options(const GlobalOptions& global, std::string policy);

/// Tells how a transaction ended: `success` and the time on standard output (or JSON), notices and removed foreign
/// rules on standard error. `confirm_within`: the seconds in which the change must be confirmed.
/// What failed is told with the state that it left behind.
ExitStatus report(const Invocation& invocation, const iptc::Outcome& outcome, std::string_view success,
                  Milliseconds time, const Aftermath& aftermath = {},
                  std::optional<unsigned> confirm_within = std::nullopt);

/// Says in the remedy what could not be taken back ("Of …"), and no longer that nothing was changed.
void add_remains(Error& error, std::string_view what_remains);

/// Blocks all traffic where a machine must not stay open for `error`, a policy that cannot be read above all; and
/// tells.
ExitStatus report_lockdown(const Invocation& invocation, Error error, std::chrono::steady_clock::time_point start);

/// Tells that nothing was changed, and why.
ExitStatus report_refusal(const Invocation& invocation, Error error, Milliseconds time);

}  // namespace tails::cli
