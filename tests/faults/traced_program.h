#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace tails::faults {

/// A system call that fails. Calls are told by their number and how many of that number there were before, from 0 at
/// the program's own start: the run-time's calls in between (memory above all) may differ from run to run.
struct Failure {
  long system_call = 0;  ///< SYS_…
  size_t at = 0;
  int error = 0;          ///< The errno.
  bool is_after = false;  ///< It did its work and reports a failure all the same; else it did nothing.
};

/// Where a traced program is disturbed.
struct Disturbance {
  std::optional<size_t> kill_at{};  ///< SIGKILL at the entry of this call: the one before was the last that ran.
  std::optional<Failure> fail{};
};

/// A call that came back, as it was made.
struct SystemCall {
  pid_t process = 0;
  long number = 0;
  std::array<unsigned long, 6> arguments{};
  long result = 0;
};

struct TracedLaunch {
  std::vector<std::string> arguments;      ///< The program's path first.
  std::vector<std::string> environment{};  ///< "NAME=value", on top of ours.
  bool shares_run = false;                 ///< Sees our /run instead of an empty one of its own.
  /// Called after each call of the program's own, also after the one that was made to fail.
  std::function<void(const SystemCall&)> seen{};
};

struct Traced {
  bool was_killed = false;  ///< By us; else the program came to its end.
  bool was_failed = false;  ///< The failure was put in.
  int status = -1;          ///< Exit status, 128 + N where signal N ended it.
  /// SYS_… of each call that was entered, from the program's own start on: behind the loader and the run-time, whose
  /// calls fail before a line of ours is run. It ends early where the program was disturbed.
  std::vector<long> system_calls;
  std::string out;  ///< Standard output.
  std::string err;  ///< Standard error.
};

/// Runs a program in the calling thread's namespaces and watches its system calls by ptrace(2) until it is disturbed;
/// those of processes that it starts are not watched. The program dies with us.
Traced run_traced(const TracedLaunch& launch, const Disturbance& disturbance = {});

}  // namespace tails::faults
