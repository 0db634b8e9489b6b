#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "conntrack/flow.h"
#include "net/ids.h"
#include "net/result.h"
#include "ruleset/rule_set.h"

namespace tails::conntrack {

/// Which flows to remove. Everything that is named must hold; of `revoked` and `dead` either is enough.
/// The default is every flow.
struct Selection {
  FlowFilter filter;
  std::optional<Uid> user;  ///< Flows that this user opened.
  bool revoked = false;     ///< What the rules forbid (Opinion::is_forbidden).
  bool dead = false;        ///< Flows of addresses that this machine no longer has (Opinion::is_dead).
};

/// What a removal did.
struct RemovalReport {
  uint64_t seen = 0;           ///< Flows that were looked at; 0 where the kernel selected by itself.
  uint64_t removed = 0;        ///< Flows deleted.
  uint64_t gone = 0;           ///< Flows that ended before we came to them.
  uint64_t sockets_ended = 0;  ///< Sockets whose program was told (ECONNABORTED).
  uint64_t sockets_left = 0;   ///< Sockets that the kernel would not end; their programs wait for a time-out.
  bool owners_known = true;    ///< False: the kernel lists TCP or UDP sockets not at all (no inet_diag, udp_diag).
};

using RulesInForce = std::function<ruleset::RuleSet()>;

/// Removes the selected flows of the calling thread's network namespace, and ends the sockets at both their ends
/// where they are here, so that programs learn at once.
///
/// 1. Memory does not grow with the table. A judgement that means removal is made again, on a socket list read
///    after the flow was seen: a flow opened while we look is not taken for one without an owner.
/// 2. UDP sockets are ended before their flow is deleted, TCP sockets after: an aborted TCP socket sends a reset,
///    which must find no flow to leave by. A kill in between leaves flows that the next run removes, or TCP
///    sockets without a flow, which the next run with `revoked` ends.
/// 3. Whole addresses and marks are deleted by the kernel in one go where it can (FlowTable::flush).
///
/// `rules` gives those in force; asked at most once, and only for `revoked` where there are flows or sockets to look
/// at. Errors are those of FlowTable::open; a failure half-way leaves the flows that were not reached.
Result<RemovalReport> remove_flows(const Selection& selection, const RulesInForce& rules);

}  // namespace tails::conntrack
