#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace tails::iptc {

/// Where a traced program is disturbed, by the number of the system call, from 0 behind execve.
struct Disturbance {
  std::optional<size_t> kill_at{};  ///< SIGKILL at its entry: the one before was the last that ran.
  std::optional<size_t> fail_at{};  ///< Is not made, and returns `error`.
  int error = 12;                 ///< ENOMEM
  bool shares_run = false;        ///< Sees our /run instead of an empty one of its own.
};

struct Traced {
  bool was_killed = false;  ///< By us; else the program came to its end.
  int status = -1;          ///< Exit status, 128 + N where signal N ended it.
  size_t calls = 0;         ///< System calls that were entered.
  size_t first_lock = 0;    ///< The number of the first flock(2); what is before it belongs to the start of a program.
};

/// Runs a program in the calling thread's namespaces (but for an empty /run of its own), without output, and watches
/// its system calls by ptrace(2). The program dies with us.
Traced run_traced(const std::vector<std::string>& arguments, const Disturbance& disturbance);

}  // namespace tails::iptc
