#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "iptc/pending.h"
#include "iptc/plan.h"
#include "iptc/transaction.h"

/// "Bring the state before back unless somebody confirms": for whoever changes the rules of a machine from afar.
///
/// A process of its own, the keeper, holds the tables as they were, sleeps until the deadline and then puts them back.
/// It is there before the first table is touched, has no terminal, and lives on when `apply` is killed. What ties it
/// to the world is the file DIRECTORY/confirm.NAMESPACE (iptc/pending): whoever removes it, holding the xtables lock,
/// ends the matter. The deadline is a time of CLOCK_BOOTTIME, so a machine that sleeps through it goes back as soon as
/// it wakes. Where the keeper itself was killed, the file has all that `mend_confirmation` needs to do its work.
namespace tails::iptc {

/// Keeps what `commit` with `confirm_within` put in force: ends the keeper.
/// Errors: nothing waits to be confirmed, or the time was over and the keeper gone, so that the state before comes back
/// now (kRejected); no lock, or the file cannot be removed (kRefused).
Result<void> confirm(System system, const Options& options);

/// Nullopt where nothing waits. Takes no lock. Error (kRefused): something may wait, and it cannot be told.
Result<std::optional<Pending>> pending_confirmation(System system, const std::string& run_directory);

/// Starts the keeper. `before` are the tables to put back, in `wanted`. The caller holds the lock.
/// Error (kRefused): one is pending already, or the keeper could not be started; nothing was changed.
Result<Pending> start_keeper(System system, const Options& options, std::vector<TableChange> before);

/// Ends a keeper whose transaction came to nothing, or was overtaken. The caller holds the lock.
void end_keeper(System system, const std::string& run_directory, const Pending& pending);

/// For whoever wants what he puts in force to stay: nothing will be taken back any more. Whether something waited. The
/// caller holds the lock. Error (kRefused): it may be taken back all the same.
Result<bool> overtake(System system, const std::string& run_directory);

/// How a state before came back.
enum class TakenBack {
  kRestored,  ///< Its tables are in force.
  kBlocked,   ///< All traffic is blocked: it was open, or could not be put back.
  kFailed,    ///< Not even that could be done.
};

/// What the keeper does, in its own process: sleeps, and takes back unless the file is gone by then. An open state is
/// never restored: all traffic is blocked then, and also where going back fails. `path`: of its file; one that cannot
/// be read counts as not confirmed.
void keep(System system, const Options& options, const std::string& path, std::vector<TableChange>& before, pid_t self,
          std::chrono::milliseconds deadline);

/// What `mend_confirmation` did.
struct Mended {
  bool keeper_started = false;          ///< There is time left, and a keeper again.
  std::optional<TakenBack> taken_back;  ///< The time was over.
  std::optional<Error> unknown;         ///< Something may wait, and it cannot be told; nothing was done.
};

/// Does the work of a keeper that was killed. For every command that changes rules, before it looks at them; does
/// nothing where nothing waits or the keeper lives. Takes the lock itself.
/// Errors (kRefused): no lock, or no new keeper; everything is as it was.
Result<Mended> mend_confirmation(System system, const Options& options);

}  // namespace tails::iptc
