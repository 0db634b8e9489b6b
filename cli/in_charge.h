#pragma once

#include <string>

#include "cli/command.h"
#include "iptc/transaction.h"
#include "net/result.h"

/// Which policy to put in force again after the network changed: the hooks know nothing of what `apply` was told.
namespace tails::cli {

/// What the record calls a lockdown that somebody asked for, which stays, and one that stands for a policy which could
/// not be read, which the next `reconfigure` tries to end by putting a policy in force.
inline constexpr const char* kLockdownName = "lockdown";
inline constexpr const char* kFailureLockdownName = "lockdown after a failure";

/// How a policy is called in the record beside the kernel: `tails (tails.toml)`.
std::string recorded_name(const std::string& name, const std::string& source);

/// Notes, beside the record, what this successful `apply` was told: --policy (as an absolute path) and --user-map.
/// Error: the hooks will have to go by the record alone, which knows no --user-map.
Result<void> note_in_charge(const iptc::System& system, const GlobalOptions& global, const std::string& recorded_name);

/// Says so where the note could not be taken.
void tell_unnoted(const Result<void>& noted);

/// What `reconfigure` must put in force.
struct InCharge {
  bool is_lockdown = false;  ///< Somebody blocked everything; that stays until somebody applies a policy.
  bool is_in_force = false;  ///< Live rules are by the record ours. False: open, or changed by somebody.
  bool is_noted = false;     ///< There is a note of these rules; false where the policy was asked for.
  GlobalOptions global;      ///< With the policy and the accounts of the `apply` before, where nothing else was asked.
};

/// From the record of the live rules, the note beside it, and last what `apply` would do by itself.
/// Error (kRefused): one of these is there and cannot be read. To go on by the next best would put another policy in
/// force than the one that is, or end a lockdown.
Result<InCharge> find_in_charge(const iptc::System& system, const GlobalOptions& global);

}  // namespace tails::cli
