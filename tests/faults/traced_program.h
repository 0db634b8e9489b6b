#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace tails::iptc {

/// A system call that fails.
struct Failure {
  size_t at = 0;          ///< Its number, as below.
  int error = 12;         ///< The errno; ENOMEM.
  bool is_after = false;  ///< It did its work and reports a failure all the same; else it did nothing.
  /// SYS_…: `at` counts calls of this number only, from 0 at the first flock(2). The run-time's own calls in between
  /// (memory above all) may then differ from run to run.
  std::optional<long> system_call{};
};

/// Where a traced program is disturbed, by the number of the system call, from 0 behind execve.
struct Disturbance {
  std::optional<size_t> kill_at{};  ///< SIGKILL at its entry: the one before was the last that ran.
  std::optional<Failure> fail{};
  bool shares_run = false;  ///< Sees our /run instead of an empty one of its own.
};

struct Traced {
  bool was_killed = false;  ///< By us; else the program came to its end.
  bool was_failed = false;  ///< The failure was put in.
  int status = -1;          ///< Exit status, 128 + N where signal N ended it.
  size_t calls = 0;         ///< System calls that were entered.
  size_t first_lock = 0;    ///< The number of the first flock(2); what is before it belongs to the start of a program.
  std::vector<long> system_calls;  ///< SYS_… of each.
  std::string said;                ///< Standard output and standard error.
};

/// Runs a program in the calling thread's namespaces (but for an empty /run of its own) and watches its system calls by
/// ptrace(2); those of processes that it starts are not watched. The program dies with us.
Traced run_traced(const std::vector<std::string>& arguments, const Disturbance& disturbance = {});

}  // namespace tails::iptc
