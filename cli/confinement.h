#pragma once

#include "cli/command.h"

namespace tails::cli {

/// Leaves this process what its row says (confine/rows.h), before the command's first step; loads the kernel's modules
/// first where it may need some, because it can run no program afterwards. Once in a process. Error (kRefused): the
/// kernel would not; nothing was changed.
Result<void> confine_to(const Command& command, const Arguments& arguments);

/// For a process that a command started before it settled: the row of that name.
Result<void> become_row(std::string_view name);

}  // namespace tails::cli
