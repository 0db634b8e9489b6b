#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "iptc/files.h"
#include "iptc/kernel/kernel.h"
#include "net/result.h"
#include "ruleset/rule_set.h"

/// Rule set to kernel, as one transaction over several tables (docs/transaction.md). Nothing here prints.
namespace tails::iptc {

/// What a transaction works on. References to objects of the caller; one thread.
struct System {
  kernel::Kernel& kernel;
  Files& files;
};

struct Options {
  /// The policy's name and where it was read from, for the record.
  std::string policy;
  /// Says what would be done and changes nothing.
  bool dry_run = false;
  /// Where the transaction is refused, all traffic is blocked instead of leaving the machine as it was.
  bool or_lockdown = false;
  /// What is put in force when all traffic must be blocked. Where it is empty or the kernel refuses it, every filter
  /// chain drops and has no rules.
  ruleset::RuleSet lockdown;
  /// How long to wait for the xtables lock.
  std::chrono::milliseconds wait{5000};
  /// The lock's path; empty: $XTABLES_LOCKFILE, else /run/xtables.lock.
  std::string lock_path;
  /// The folder of the record (file `applied`) and of a pending confirmation.
  std::string run_directory = "/run/tails-iptc";
  /// Asked once, with the wanted rules, before anything is touched. An error refuses the transaction with it.
  std::function<Result<void>(const ruleset::RuleSet& wanted)> check;
  /// The state before comes back after this time unless `confirm` comes first; empty: no confirmation is asked for.
  std::optional<std::chrono::milliseconds> confirm_within;
  /// Called after an unconfirmed change was taken back, in the process that did it: for what must follow the rules.
  std::function<void()> after_taking_back;
};

/// A rule that is neither ours by the record nor wanted, found in a table that is ours whole, and removed.
struct ForeignRule {
  Family family = Family::kIpv4;
  ruleset::TableName table = ruleset::TableName::kFilter;
  std::string chain;
  size_t position = 0;  ///< From 1, in its chain.
  ruleset::Rule rule;
};

struct Outcome {
  enum class Kind {
    kApplied,
    kUnchanged,   ///< Live was what is wanted: nothing was written to the kernel.
    kDryRun,      ///< Live differs; nothing was written.
    kRolledBack,  ///< The system refused half-way; the state before is back.
    kLockedDown,  ///< The system refused; all traffic is blocked.
  };
  struct TableResult {
    Family family = Family::kIpv4;
    ruleset::TableName table = ruleset::TableName::kFilter;
    size_t rules = 0;       ///< Of the wanted table.
    bool differed = false;  ///< The live table was not the wanted one.
  };

  /// How long the two steps took for which there is no other way; reading, comparing and recording come on top.
  struct Times {
    std::chrono::nanoseconds encoding{};
    std::chrono::nanoseconds committing{};  ///< By libiptc, guards included.
  };

  Kind kind = Kind::kApplied;
  Times times;
  std::vector<TableResult> tables;   ///< In the order of commit: IPv6 filter, IPv4 filter, IPv4 nat, …
  std::vector<std::string> notices;  ///< Full sentences for the user.
  /// Removed; for kDryRun: would be removed; for kRolledBack: came meanwhile and did not come back.
  std::vector<ForeignRule> foreign;
  /// For kApplied with Options::confirm_within: what comes back at the deadline is a lockdown, as the state before was
  /// open.
  bool unconfirmed_blocks = false;
  std::optional<Error> failure;  ///< Why; present exactly for kRolledBack (kRefused) and kLockedDown (kLockedDown).
};

/// Puts `wanted` in force: filter and nat of IPv4, filter of IPv6, and mangle or raw where `wanted` has them; tables
/// that it lacks are as open ones there. At every instant, for every packet: accepted implies that the old rules or
/// the new rules accept it. `wanted` is released as soon as it is encoded: move it in where memory counts.
///
/// Error: refused (permission, lock, kernel lacks something, a check said no), and nothing was changed.
Result<Outcome> commit(System system, ruleset::RuleSet wanted, const Options& options);

/// Puts `options.lockdown` in force by the same way; where that cannot be had, bare DROP policies.
Result<Outcome> lockdown(System system, const Options& options);

/// Every table of ours empty and ACCEPT.
Result<Outcome> reset_open(System system, const Options& options);

/// The live rules of every table that exists, counters included.
struct Live {
  ruleset::RuleSet rules;  ///< Origins attached where the record knows the table's hash.
  /// Policy of the record (Options::policy at that time), empty where no live filter table is in the record.
  std::string policy;
  /// A live filter table is a guard: a transaction was killed half-way, and the next one will finish.
  bool has_guard = false;
  /// The record could not be read, so `policy` and all origins are unknown. A record that is missing or damaged is no
  /// problem.
  std::optional<Error> record_problem;
  /// Tables with rules whose origins are unknown (changed since, or never ours), as "ip filter".
  std::vector<std::string> unrecorded;
};

/// Takes no lock: one table is read at an instant, several are not.
Result<Live> read_live(System system, const std::string& run_directory = "/run/tails-iptc");

}  // namespace tails::iptc
