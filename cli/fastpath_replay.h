#pragma once

#include "cli/command.h"

namespace tails::cli {

/// What `fastpath replay` does, in the program that has libpcap.
Result<ExitStatus> replay_capture(const Invocation& invocation);

}  // namespace tails::cli
