#include <vector>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/fastpath_replay.h"
#ifdef TAILS_HAS_DPDK
#include "cli/bench.h"
#include "cli/fastpath_run.h"
#endif

/// The table of the program `tails-iptc-fastpath`: the same words as `tails-iptc` has for these commands, and what they
/// do.
namespace tails::cli {
namespace {

Command with(Command command, std::string_view row, Result<ExitStatus> (*run)(const Invocation&)) {
  command.row = row;
  command.run = run;
  return command;
}

#ifndef TAILS_HAS_DPDK
Result<ExitStatus> without_dpdk(const Invocation&) {
  return fail(
      ErrorKind::kRefused, "this program was built without DPDK",
      "`apt-get install libdpdk-dev` (in the sources: `scripts/install-deps dpdk`), then configure and build again.");
}
constexpr auto* run_filter = without_dpdk;
constexpr auto* run_bench = without_dpdk;
#endif

}  // namespace

std::span<const Command> commands() {
  static const std::vector table{with(kFastpathRun, "tails-iptc-fastpath run", run_filter),
                                 with(kFastpathReplay, "tails-iptc-fastpath replay", replay_capture),
                                 with(kBench, "tails-iptc-fastpath bench", run_bench)};
  return table;
}

}  // namespace tails::cli
