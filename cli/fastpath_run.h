#pragma once

#include "cli/command.h"

namespace tails::cli {

/// What `fastpath run` does, in the program that has DPDK.
Result<ExitStatus> run_filter(const Invocation& invocation);

}  // namespace tails::cli
