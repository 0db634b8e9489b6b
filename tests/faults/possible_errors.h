#pragma once

#include <span>

namespace tails::faults {

/// What a system call that the program makes can fail with.
struct PossibleErrors {
  long system_call = 0;  ///< SYS_…
  const char* name = "";
  /// By its manual page and, for getsockopt and setsockopt, net/ipv4/netfilter/ip_tables.c, net/netfilter/x_tables.c.
  /// Empty: it cannot fail, or is of the run-time's and not ours.
  std::span<const int> errors;
  /// It may have done its work and fail all the same (close(2), a disk that is full behind a write, libiptc's second
  /// call after the table is in force).
  bool may_do_its_work = false;
};

/// Nullptr for a call that nobody thought of.
const PossibleErrors* possible_errors(long system_call);

}  // namespace tails::faults
