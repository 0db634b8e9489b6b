#pragma once

#include <string_view>

namespace tails::iptc::kernel {

/// Runs modprobe (the one that /proc/sys/kernel/modprobe names, else /sbin/modprobe) for `module`, without a shell.
/// False where it could not be run or said no. `module` is a name of ours, never input.
bool load_module(std::string_view module);

/// Loads xtables with the tables of ours where this kernel has it as modules and none of them is loaded; tables that
/// only some policies need are loaded by the kernel itself. For a caller who may run no program later. Fails silently:
/// whoever asks the kernel for a table that is missing says so.
void load_missing_modules();

}  // namespace tails::iptc::kernel
