#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "iptc/plan.h"
#include "iptc/transaction.h"

/// "Bring the state before back unless somebody confirms": for whoever changes the rules of a machine from afar.
///
/// A process of its own, the keeper, holds the tables as they were, sleeps until the deadline and then puts them back.
/// It is there before the first table is touched, has no terminal, and lives on when `apply` is killed. What ties it
/// to the world is the file DIRECTORY/confirm.NAMESPACE: whoever removes it, holding the xtables lock, ends the matter.
/// The deadline is a time of CLOCK_BOOTTIME, so a machine that sleeps through it goes back as soon as it wakes.
namespace tails::iptc {

/// Keeps what `commit` with `confirm_within` put in force: ends the keeper.
/// Errors: nothing waits to be confirmed (kRejected); no lock, or the file cannot be removed (kRefused).
Result<void> confirm(System system, const Options& options);

/// A confirmation that is waited for.
struct Pending {
  pid_t keeper = 0;
  uint64_t started = 0;                   ///< Field 22 of /proc/PID/stat: tells a process from a later one.
  std::chrono::milliseconds deadline{0};  ///< CLOCK_BOOTTIME
};
/// Nullopt where there is none, or where its keeper is gone.
std::optional<Pending> pending_confirmation(System system, const std::string& run_directory);

/// Starts the keeper. `before` are the tables to put back, in `wanted`. The caller holds the lock.
/// Error (kRefused): one is pending already, or the keeper could not be started; nothing was changed.
Result<Pending> start_keeper(System system, const Options& options, std::vector<TableChange> before);

/// Ends a keeper whose transaction came to nothing, or was overtaken. The caller holds the lock.
void end_keeper(System system, const std::string& run_directory, const Pending& pending);

/// What the keeper does, in its own process: sleeps, and puts `before` back unless the file is gone by then. An open
/// state is never restored: all traffic is blocked then, and also where going back fails.
void keep(System system, const Options& options, std::vector<TableChange>& before, pid_t self,
          std::chrono::milliseconds deadline);

}  // namespace tails::iptc
