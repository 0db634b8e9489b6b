#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "net/packet.h"

namespace tails::conntrack {

/// Interfaces, routes and policy rules as rtnetlink lists them (rtnetlink(7); linux/rtnetlink.h, linux/fib_rules.h).
/// Messages of another type, and those that are cut short, say nothing. Pure.
struct RoutingTables {
  std::map<uint32_t, InterfaceName> links;  ///< By index.
  // Of routes: the destinations of those of the type, and of all.
  std::vector<Prefix> local;
  std::vector<Prefix> broadcast;
  std::vector<Prefix> anycast;
  std::vector<Prefix> routes;
  std::vector<Prefix> rules;  ///< What policy rules look at.

  void take_link(const nlmsghdr& message);
  void take_route(const nlmsghdr& message);
  /// Policy rules that look at addresses move traffic between tables at addresses of their own.
  void take_rule(const nlmsghdr& message);
  void forget_routes();

  [[nodiscard]] bool is_local(const IpAddress& address) const;
  [[nodiscard]] AddressType type(const IpAddress& address) const;
  /// As Routing::boundaries.
  [[nodiscard]] std::vector<IpAddress> boundaries() const;
  /// The interface of that index; nullopt where none is known.
  [[nodiscard]] std::optional<InterfaceName> link(uint32_t index) const;
  /// By which interface the route in `answer` leads; nullopt where it leads nowhere.
  [[nodiscard]] std::optional<InterfaceName> interface_of(const nlmsghdr& answer) const;
};

}  // namespace tails::conntrack
