#pragma once

#include "cli/command.h"

namespace tails::cli {

/// What `bench` does, in the program that has DPDK.
Result<ExitStatus> run_bench(const Invocation& invocation);

}  // namespace tails::cli
