#pragma once

#include <optional>
#include <string>

#include "cli/command.h"
#include "iptc/transaction.h"
#include "net/result.h"

/// Which policy to put in force again after the network changed: the hooks know nothing of what `apply` was told.
namespace tails::cli {

/// How a policy is called in the record beside the kernel: `tails (tails.toml)`.
std::string recorded_name(const std::string& name, const std::string& source);

/// Notes, beside the record, what this successful `apply` was told: --policy (as an absolute path) and --user-map.
/// A failure only costs the note.
void note_in_charge(const iptc::System& system, const GlobalOptions& global, const std::string& recorded_name);

/// What `reconfigure` must put in force.
struct InCharge {
  bool is_lockdown = false;  ///< Somebody blocked everything; that stays until somebody applies a policy.
  bool is_in_force = false;  ///< Live rules are by the record ours. False: open, or changed by somebody.
  GlobalOptions global;      ///< With the policy and the accounts of the `apply` before, where nothing else was asked.
};

/// From the record of the live rules, the note beside it, and last what `apply` would do by itself.
InCharge find_in_charge(const iptc::System& system, const GlobalOptions& global);

}  // namespace tails::cli
