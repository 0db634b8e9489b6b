#pragma once

#include <functional>
#include <string>

#include "net/address.h"
#include "net/interface_name.h"
#include "net/result.h"

namespace tails::host {

/// The network of one guest: a network namespace behind a veth pair. What a policy declares as [[namespace]].
struct Guest {
  std::string name;              ///< Of the namespace under /run/netns.
  InterfaceName host_interface;  ///< The pair's end here; the other end is `veth0` in the guest.
  IpAddress host_address;        ///< IPv4
  IpAddress guest_address;       ///< IPv4, in the same network.
  unsigned prefix_length = 30;
  bool has_services = false;  ///< 127.0.0.1:PORT in the guest leads to the host (needs route_localnet).
  bool internet = false;      ///< Default route by the host, which forwards.
};

/// What stands of a guest.
enum class GuestState {
  kAbsent,
  kPartial,  ///< Left half-made or half-removed by a killed run; `bring_up` and `take_down` mend it.
  kUp,
};

Result<GuestState> state_of(const Guest& guest);

/// Makes what is missing of the guest's network, in an order in which nothing is ever reachable without rules:
/// the namespace; inside it the loopback, parameters and (by `install_rules`, run inside) the rules; the pair;
/// addresses; routes. What this call made is undone when a later step fails; what stood before stays.
/// Idempotent: a guest that is up is left alone but for its rules and parameters, which are re-asserted. A pair with
/// another address (the policy was edited since) is made anew.
/// The host's end takes only what the guest's address sends (rp_filter), speaks no IPv6, and does not forward: that
/// is `forwarding`'s to switch on, last.
Result<void> bring_up(const Guest& guest, const std::function<Result<void>()>& install_rules);

/// Removes the pair, then the namespace's name. A guest that is not there is fine. Processes inside keep the namespace
/// alive, but cut off.
Result<void> take_down(const Guest& guest);

}  // namespace tails::host
