#pragma once

#include "net/packet.h"
#include "ruleset/rule_set.h"

namespace tails::ruleset {

/// The packet as it is now on its way, and what of it is no longer known.
struct Traveller {
  Packet packet;
  bool is_mark_known = true;
  bool is_connmark_known = true;
  bool is_dscp_known = true;
  bool is_header_known = true;  ///< False behind a target that may have rewritten the packet.
};

/// True for a packet that conntrack put into a flow: neither INVALID nor UNTRACKED.
[[nodiscard]] bool has_flow(const Packet& packet);

/// Whether all tests of `rule` hold for the packet, three-valued: kUnknown where that depends on what nobody can
/// read from the packet (an opaque match, a rate limit, a rewritten header). Kernel: net/netfilter/xt_*.c. Pure.
[[nodiscard]] Tristate test(const Rule& rule, const Traveller& traveller);

}  // namespace tails::ruleset
