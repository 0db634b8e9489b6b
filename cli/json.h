#pragma once

#include <chrono>
#include <string>

#include "iptc/transaction.h"
#include "net/packet.h"
#include "net/result.h"
#include "ruleset/evaluator.h"

/// The JSON documents that others read. Keys are a contract (docs/cli.md): new ones may come, none goes or changes its
/// meaning. Each function returns one document with a newline at its end. Pure, thread-safe.
namespace tails::cli::json {

/// {"error":"…","remedy":"…"}: what a command that failed prints in place of its answer.
std::string error(const Error& error);

/// `apply`, `lockdown`, `reset`.
std::string outcome(const iptc::Outcome& outcome, std::chrono::duration<double, std::milli> time);
/// The same for a transaction that was refused.
std::string refused(const Error& error, std::chrono::duration<double, std::milli> time);

/// `explain`.
std::string evaluation(const ruleset::Evaluation& evaluation, const Packet& packet, const ruleset::RuleSet& rules);

/// `show`: every rule as iptables-save text, with its counters and origin.
std::string rule_set(const ruleset::RuleSet& rules);

}  // namespace tails::cli::json
