#pragma once

#include <span>

namespace tails::faults {

/// Whether a system call that fails may have done its work all the same.
enum class WorkDone { kNo, kMaybe, kYes };

/// What a system call that the program makes can fail with.
struct PossibleErrors {
  long system_call = 0;  ///< SYS_…
  const char* name = "";
  /// By its manual page and, for getsockopt and setsockopt, net/ipv4/netfilter/ip_tables.c, net/netfilter/x_tables.c.
  /// Empty: it cannot fail, or is of the run-time's and not ours.
  std::span<const int> errors;
  /// kMaybe: a disk that is full behind a write, libiptc's second call after the table is in force. kYes: close(2),
  /// after which a descriptor is gone whatever it says (close(2), NOTES).
  WorkDone work = WorkDone::kNo;
};

/// Nullptr for a call that nobody thought of.
const PossibleErrors* possible_errors(long system_call);

}  // namespace tails::faults
