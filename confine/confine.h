#pragma once

#include <span>
#include <string>

#include "confine/rows.h"
#include "net/result.h"

/// Least privilege: after its start-up a command keeps what its row says, and nothing else (docs/least-privilege.md).
/// The process has one thread, and nothing here can be undone.
namespace tails::confine {

/// What this kernel could enforce; what it lacks is not enforced, and that is no error: a kernel without seccomp must
/// still get its rules.
struct Enforced {
  bool system_calls = false;
  bool write_places = false;
};

/// Confines the calling process to `row`, with `places` besides the row's own that it may write to. A row that settles
/// late keeps its `starts_with` and may still open files for writing until `settle`.
/// Error (kRefused): the kernel can enforce it and would not; the process may be confined in part.
Result<Enforced> begin(const Row& row, std::span<const std::string> places = {});

/// The rest, for a row that settles late: once, with further places. Another row's is done already, and it does
/// nothing.
Result<void> settle(std::span<const std::string> places = {});

}  // namespace tails::confine
