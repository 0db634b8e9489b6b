#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "net/result.h"

/// The program as a hook of NetworkManager and ifupdown. Their folders hold links to it (packaging/CMakeLists.txt) and
/// no script, so that nothing of what the network said, which they hand on in the environment, ever reaches a shell.
namespace tails::cli {

/// A variable of the environment; nullopt: not set.
using HookVariable = std::function<std::optional<std::string>(const char* name)>;

struct HookRun {
  /// The command line to run in place of the hook's own; empty: the event is none of ours, and nothing is to be done.
  std::vector<std::string> words;
  /// All of the environment that is kept: the resolvers' variables, and only such as hold addresses.
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<std::string> refused;  ///< Names of variables that were thrown away, for a warning.
};

/// What to do where the program was called by the name of a hook's link; nullopt: it was not.
/// `words`: argv, the program's name first. NetworkManager (NetworkManager-dispatcher(8)): …/50-tails-iptc INTERFACE
/// EVENT. ifupdown (interfaces(5)): /etc/network/if-….d/tails-iptc with IFACE and PHASE in the environment.
/// Error (kUsage): what names the interface or the event is no such name. Pure but for `variable`.
Result<std::optional<HookRun>> read_hook(std::span<const char* const> words, const HookVariable& variable);

/// Replaces the process's environment by that of `run`.
void take_environment(const HookRun& run);

/// Installed since the last boot and not yet applied by anyone: hooks keep still until then.
bool hooks_wait_for_apply();

}  // namespace tails::cli
