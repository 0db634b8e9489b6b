#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/blocked_summary.h"
#include "cli/screen.h"

/// A summary of what was blocked, for people.
namespace tails::cli {

/// "amnesia", "user 1234", "the kernel".
using NameOfUser = std::function<std::string(const std::optional<Uid>&)>;

/// "udp 192.0.2.1:53", "icmp 192.0.2.1".
std::string destination_text(uint8_t number, const Endpoint& to);

/// Each row a line that fits into the width of `screen`: where it is narrow, columns are left out, the interface first,
/// and what is still too long ends with an ellipsis. A width of 0: nothing is left out. Pure.
std::string blocked_table(const std::vector<BlockedSummary::Row>& rows, const NameOfUser& name_of_user,
                          const Screen& screen);

}  // namespace tails::cli
