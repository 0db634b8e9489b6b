#pragma once

#include <optional>

#include "net/packet.h"
#include "policy/policy.h"

namespace tails::policy {

/// What the policy says of a packet, and the entry that says it.
struct Decision {
  Verdict verdict = Verdict::kDrop;       ///< Never kUnknown.
  bool logged = false;                    ///< Counted by the log, a rate limit aside.
  std::optional<Endpoint> redirected_to;  ///< Automap or DNS.
  Origin origin;
};

/// "What does the policy say of this packet", straight from the Meaning section of docs/semantics.md and
/// knowing nothing of rules: the judge of the lowering. Pure, thread-safe.
/// The namespace's rules inside a guest are not its business: `packet` is one of the host's.
Decision decide(const Policy& policy, const Packet& packet);

}  // namespace tails::policy
