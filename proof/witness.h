#pragma once

#include <vector>

#include "net/packet.h"
#include "policy/policy.h"
#include "proof/packet_space.h"
#include "ruleset/rule_set.h"

namespace tails::proof {

/// What a reader knows, to make an example of.
struct Familiar {
  std::vector<Uid> users;                 ///< Best first.
  std::vector<IpAddress> addresses;       ///< Best first, of any family; documentation addresses come before all.
  std::vector<Port> ports;                ///< Best first.
  std::vector<InterfaceName> interfaces;  ///< Best first.

  /// Where nothing is known of the machine.
  static Familiar plain();
  /// Adds the users, ports and addresses that rules name, a limited number of each.
  void add(const ruleset::RuleSet& rules);
  /// The policy's own users, ports and addresses; the live user first.
  static Familiar of(const policy::Policy& policy);
};

/// One packet of `set`, which is not empty and holds no unknowns: the plainest there is, whatever `set` leaves free. A
/// SYN that opens a flow, by a known user, from eth0 to a documentation address (RFC 5737, RFC 3849) and a common port.
Packet plainest(const Bdd& set, const PacketSpace& space, Hook hook, const Familiar& familiar);

}  // namespace tails::proof
