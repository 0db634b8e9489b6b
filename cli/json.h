#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "cli/aftermath.h"
#include "cli/confirmation.h"
#include "cli/status_report.h"
#include "iptc/transaction.h"
#include "net/packet.h"
#include "net/result.h"
#include "proof/difference.h"
#include "proof/prove.h"
#include "ruleset/evaluator.h"

/// The JSON documents that others read. Keys are a contract (docs/cli.md): new ones may come, none goes or changes its
/// meaning. Each function returns one document with a newline at its end. Pure, thread-safe.
namespace tails::cli::json {

/// {"error":"…","remedy":"…"}: what a command that failed prints in place of its answer.
std::string error(const Error& error);

/// A packet by itself, as the key "packet" has it elsewhere.
std::string packet(const Packet& packet);

/// `apply`, `reconfigure`, `lockdown`, `reset`.
std::string outcome(const iptc::Outcome& outcome, std::chrono::duration<double, std::milli> time,
                    const Aftermath& aftermath, std::optional<unsigned> confirm_within);
/// The same for a transaction that was refused.
std::string refused(const Error& error, std::chrono::duration<double, std::milli> time);
/// `confirm`.
std::string confirmed();

/// `explain`.
std::string evaluation(const ruleset::Evaluation& evaluation, const Packet& packet, const ruleset::RuleSet& rules);

/// One policy that was checked.
struct CheckedPolicy {
  std::string file;
  std::string name;   ///< Empty where it was rejected.
  std::string error;  ///< Empty where it holds.
  ruleset::RuleSet rules;
  std::optional<proof::Proof> proof;  ///< Absent where it was rejected before it came to that.
};

/// `check`.
std::string checked(const std::vector<CheckedPolicy>& policies);

/// `prove`.
std::string proof(const proof::Proof& proof, const ruleset::RuleSet& rules,
                  std::chrono::duration<double, std::milli> time);

/// `diff`.
std::string comparison(const proof::Comparison& comparison, const ruleset::RuleSet& a, const ruleset::RuleSet& b);

/// `status`.
std::string status(const StatusReport& report, const std::optional<Waiting>& waiting);

/// `show`: every rule as iptables-save text, with its counters and origin.
std::string rule_set(const ruleset::RuleSet& rules);

}  // namespace tails::cli::json
