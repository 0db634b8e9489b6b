#pragma once

#include <cstdint>
#include <string>

#include "conntrack/removal.h"

namespace tails::cli {

/// What was done after the rules were in force.
struct Aftermath {
  uint64_t flows_removed = 0;
  uint64_t sockets_ended = 0;
  bool flows_judged = false;
  bool resolvers_written = false;
  /// For people: " Removed 2 flows that it forbids, ended 1 socket."; empty where nothing was to be done.
  std::string text;
};

/// Which flows end with a change of rules.
enum class FlushMode : uint8_t { kRevoked, kRevokedAndDead, kAll, kNone };

/// Removes flows now that `rules` are in force. Never fails what was done before: what goes wrong is a warning.
Aftermath end_flows(FlushMode mode, const conntrack::RulesInForce& rules);

}  // namespace tails::cli
