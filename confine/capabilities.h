#pragma once

#include <string>

#include "confine/rows.h"
#include "net/result.h"

namespace tails::confine {

/// Gives up every capability but `keeps`, for good: of the calling process, which must have one thread, and of what it
/// may become. Those that it does not have it does not get. Error (kRefused): the kernel would not; none or all are
/// gone.
Result<void> keep_capabilities(Capabilities keeps);

/// "CAP_NET_ADMIN, CAP_NET_RAW"; "none"; "all".
std::string names_of(Capabilities set);

}  // namespace tails::confine
