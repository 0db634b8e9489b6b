#pragma once

#include "cli/command.h"

namespace tails::cli {

/// What `bench` does, in the program that has DPDK: without ports the filter by itself, with two of them over cables.
Result<ExitStatus> run_bench(const Invocation& given);

/// The pipeline on one core, frames from memory.
Result<ExitStatus> bench_embedded(const Invocation& invocation);
/// Between two ports.
Result<ExitStatus> bench_wire(const Invocation& invocation);

}  // namespace tails::cli
