#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "cli/command.h"

namespace tails::cli {

/// What each exit status means; the place in the list is the number.
inline constexpr std::array<std::string_view, 5> kExitStatuses{
    "done; or: it holds, is in force, is the same",
    "the answer is no: policy rejected, drift, difference",
    "wrong usage",
    "the system refused (permission, lock, kernel lacks something): nothing was changed",
    "the system refused half-way and the previous state could not be restored: all traffic is blocked",
};

/// The help on all commands, by group.
std::string help(std::span<const Command> commands, const Screen& screen);

/// The help on one command: usage, what it does, options, exit status, an example at the end.
std::string help(const Command& command, const Screen& screen);

/// One line: "tails-iptc diff [--text] [OPERAND]...".
std::string usage(const Command& command);

/// The heading of a group.
std::string_view heading(Group group);

}  // namespace tails::cli
