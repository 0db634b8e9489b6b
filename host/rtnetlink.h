#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/address.h"
#include "net/interface_name.h"
#include "net/result.h"

struct mnl_socket;

namespace tails::host {

/// A network interface as rtnetlink lists it.
struct Link {
  int index = 0;
  InterfaceName name;
  bool is_up = false;
  std::string kind;  ///< "veth", "dummy", …; empty for hardware.
};

/// An address of an interface.
struct LinkAddress {
  int link_index = 0;
  IpAddress address;
  Prefix network;  ///< The prefix the address stands in.
};

/// A connection to the kernel's links, addresses and routes (rtnetlink(7)) of the network namespace in which it was
/// opened; it keeps that namespace even where the thread leaves it. Errors are of kind kRefused with errno and name
/// what was asked. Not thread-safe. Source: linux/rtnetlink.h, linux/if_link.h, linux/veth.h.
class Rtnetlink {
 public:
  static Result<Rtnetlink> open();

  Rtnetlink(Rtnetlink&&) noexcept = default;
  Rtnetlink& operator=(Rtnetlink&&) noexcept = default;

  Result<std::vector<Link>> links();
  Result<std::vector<LinkAddress>> addresses();
  /// Nullopt where no interface has that name.
  Result<std::optional<Link>> find_link(const InterfaceName& name);

  /// Makes a veth pair: `name` here, `peer` in the network namespace behind `peer_namespace` (a descriptor of
  /// /proc/PID/ns/net or of a file under /run/netns). Both in one step: no half pair is ever left.
  Result<void> add_veth(const InterfaceName& name, const InterfaceName& peer, int peer_namespace);
  /// Removes an interface (and a veth's peer with it).
  Result<void> remove_link(int index);
  Result<void> set_up(int index);
  /// Adds `address` with its prefix length; an address that is there already is left as it is.
  Result<void> add_address(int index, const IpAddress& address, unsigned prefix_length);
  /// Adds or replaces the IPv4 default route.
  Result<void> set_default_route(const IpAddress& gateway, int index);

 private:
  struct Close {
    void operator()(mnl_socket* socket) const;
  };
  explicit Rtnetlink(mnl_socket* socket) : socket_(socket) {}

  struct Request;
  Result<void> acknowledge(Request& request, const std::string& what);

  std::unique_ptr<mnl_socket, Close> socket_;
  uint32_t sequence_ = 0;
};

}  // namespace tails::host
