#pragma once

#include <string_view>

namespace tails::iptc::kernel {

/// Runs modprobe (the one that /proc/sys/kernel/modprobe names, else /sbin/modprobe) for `module`, without a shell.
/// False where it could not be run or said no. `module` is a name of ours, never input.
bool load_module(std::string_view module);

}  // namespace tails::iptc::kernel
