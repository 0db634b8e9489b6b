#pragma once

#include <span>
#include <string>

#include "cli/command.h"

namespace tails::cli {

/// The help on all commands, by group.
std::string help(std::span<const Command> commands, const Screen& screen);

/// The help on one command: usage, what it does, options, exit status, an example at the end.
std::string help(const Command& command, const Screen& screen);

/// The heading of a group.
std::string_view heading(Group group);

}  // namespace tails::cli
