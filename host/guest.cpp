#include "host/guest.h"

#include <cerrno>
#include <optional>
#include <utility>

#include "host/network_namespace.h"
#include "host/rtnetlink.h"
#include "host/sysctl.h"

namespace tails::host {
namespace {

constexpr InterfaceName kGuestInterface = *InterfaceName::make("veth0");

/// Runs its actions backwards unless `keep` was called.
class Undo {
 public:
  Undo() = default;
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  ~Undo() {
    for (auto action = actions_.rbegin(); action != actions_.rend(); ++action) (*action)();
  }
  void add(std::function<void()> action) { actions_.push_back(std::move(action)); }
  void keep() { actions_.clear(); }

 private:
  std::vector<std::function<void()>> actions_;
};

/// What both ends look like now.
struct Ends {
  std::optional<Descriptor> guest_namespace;
  std::optional<Link> host_end;
  std::optional<Link> guest_end;
};

Result<std::optional<Link>> find_here(const InterfaceName& name) {
  auto netlink = Rtnetlink::open();
  if (!netlink) return tl::unexpected(netlink.error());
  return netlink->find_link(name);
}

Result<Ends> look(const Guest& guest) {
  Ends ends;
  auto opened = network_namespace::open(guest.name);
  if (!opened) return tl::unexpected(opened.error());
  ends.guest_namespace = std::move(*opened);
  auto host_end = find_here(guest.host_interface);
  if (!host_end) return tl::unexpected(host_end.error());
  ends.host_end = *host_end;
  if (ends.guest_namespace) {
    auto looked = network_namespace::inside(ends.guest_namespace->get(), [&]() -> Result<void> {
      auto guest_end = find_here(kGuestInterface);
      if (!guest_end) return tl::unexpected(guest_end.error());
      ends.guest_end = *guest_end;
      return {};
    });
    if (!looked) return tl::unexpected(looked.error());
  }
  return ends;
}

/// Steps inside the guest that need no link: run before one is there.
Result<void> prepare_inside(const Guest& guest, const std::function<Result<void>()>& install_rules) {
  auto netlink = Rtnetlink::open();
  if (!netlink) return tl::unexpected(netlink.error());
  auto loopback = netlink->find_link(kLoopbackInterface);
  if (!loopback) return tl::unexpected(loopback.error());
  if (*loopback) {
    if (auto up = netlink->set_up((*loopback)->index); !up) return up;
  }
  // RFC 4821: a path MTU below the interface's is found although its ICMP errors may be lost on the way.
  if (auto set = sysctl::write("net.ipv4.tcp_mtu_probing", 1); !set) return set;
  if (guest.has_services) {
    if (auto set = sysctl::write("net.ipv4.conf.all.route_localnet", 1); !set) return set;
  }
  return install_rules();
}

/// A parameter of an interface; not every kernel has every one.
Result<void> set_of_interface(const char* family, const InterfaceName& interface, const char* parameter,
                              int64_t value) {
  auto set = sysctl::write(sysctl::of_interface(family, interface, parameter), value);
  if (!set && set.error().system_errno == ENOENT) return {};
  return set;
}

/// Nothing of IPv6 passes between guest and host, not even neighbour discovery.
Result<void> silence_ipv6(const InterfaceName& interface) {
  return set_of_interface("ipv6", interface, "disable_ipv6", 1);
}

/// Before the host's end is up. A new interface inherits forwarding where the machine forwards already.
Result<void> close_host_end(const Guest& guest) {
  if (auto silent = silence_ipv6(guest.host_interface); !silent) return silent;
  if (auto strict = set_of_interface("ipv4", guest.host_interface, "rp_filter", 1); !strict) return strict;
  if (auto deaf = set_of_interface("ipv4", guest.host_interface, "accept_redirects", 0); !deaf) return deaf;
  return guest.internet ? Result<void>{} : set_of_interface("ipv4", guest.host_interface, "forwarding", 0);
}

/// Whether an end has an IPv4 address that is not to be there.
Result<bool> has_stranger(int index, const IpAddress& address, unsigned prefix_length) {
  auto netlink = Rtnetlink::open();
  if (!netlink) return tl::unexpected(netlink.error());
  const auto all = netlink->addresses();
  if (!all) return tl::unexpected(all.error());
  for (const LinkAddress& there : *all) {
    if (there.link_index != index || there.address.family != Family::kIpv4) continue;
    if (there.address != address || there.network.length() != prefix_length) return true;
  }
  return false;
}

Result<void> configure_end(const InterfaceName& name, const IpAddress& address, unsigned prefix_length,
                           const std::optional<IpAddress>& gateway) {
  auto netlink = Rtnetlink::open();
  if (!netlink) return tl::unexpected(netlink.error());
  auto link = netlink->find_link(name);
  if (!link) return tl::unexpected(link.error());
  if (!*link) return fail(ErrorKind::kRefused, "the interface \"" + std::string(name.view()) + "\" went away");
  const int index = (*link)->index;
  if (auto added = netlink->add_address(index, address, prefix_length); !added) return added;
  if (auto up = netlink->set_up(index); !up) return up;
  return gateway ? netlink->set_default_route(*gateway, index) : Result<void>{};
}

Result<void> remove_host_end(const InterfaceName& name) {
  auto netlink = Rtnetlink::open();
  if (!netlink) return tl::unexpected(netlink.error());
  auto link = netlink->find_link(name);
  if (!link) return tl::unexpected(link.error());
  if (!*link) return {};
  auto removed = netlink->remove_link((*link)->index);
  // Another run may have been quicker.
  if (!removed && removed.error().system_errno == ENODEV) return {};
  return removed;
}

Result<bool> is_right_pair(const Guest& guest, const Ends& ends) {
  if (!ends.host_end || !ends.guest_end) return false;
  bool has_other = false;
  const auto look_at = [&](const Link& link, const IpAddress& address) -> Result<void> {
    const auto stranger = has_stranger(link.index, address, guest.prefix_length);
    if (!stranger) return tl::unexpected(stranger.error());
    has_other |= *stranger;
    return {};
  };
  if (auto looked = look_at(*ends.host_end, guest.host_address); !looked) return tl::unexpected(looked.error());
  auto looked = network_namespace::inside(ends.guest_namespace->get(),
                                          [&] { return look_at(*ends.guest_end, guest.guest_address); });
  if (!looked) return tl::unexpected(looked.error());
  return !has_other;
}

}  // namespace

Result<GuestState> state_of(const Guest& guest) {
  auto ends = look(guest);
  if (!ends) return tl::unexpected(ends.error());
  if (!ends->guest_namespace && !ends->host_end) return GuestState::kAbsent;
  const bool is_up = ends->host_end && ends->guest_end && ends->host_end->is_up && ends->guest_end->is_up;
  return is_up ? GuestState::kUp : GuestState::kPartial;
}

Result<void> bring_up(const Guest& guest, const std::function<Result<void>()>& install_rules) {
  auto ends = look(guest);
  if (!ends) return tl::unexpected(ends.error());
  Undo undo;
  if (!ends->guest_namespace) {
    if (auto added = network_namespace::add(guest.name); !added) return added;
    undo.add([&] { (void)network_namespace::remove(guest.name); });
    auto opened = network_namespace::open(guest.name);
    if (!opened) return tl::unexpected(opened.error());
    ends->guest_namespace = std::move(*opened);
    if (!ends->guest_namespace)
      return fail(ErrorKind::kRefused, "the network namespace \"" + guest.name + "\" went away");
  }
  const int inside = ends->guest_namespace->get();
  auto prepared = network_namespace::inside(inside, [&] { return prepare_inside(guest, install_rules); });
  if (!prepared) return prepared;

  auto is_whole = is_right_pair(guest, *ends);
  if (!is_whole) return tl::unexpected(is_whole.error());
  if (!*is_whole) {
    // Half a pair, one with other addresses, or one whose other end is in a namespace that is gone: begin again.
    if (auto removed = remove_host_end(guest.host_interface); !removed) return removed;
    auto netlink = Rtnetlink::open();
    if (!netlink) return tl::unexpected(netlink.error());
    // First the way back: the kernel may have made the pair although its answer is lost.
    undo.add([&] { (void)remove_host_end(guest.host_interface); });
    if (auto added = netlink->add_veth(guest.host_interface, kGuestInterface, inside); !added) return added;
  }
  if (auto closed = close_host_end(guest); !closed) return closed;
  if (auto configured = configure_end(guest.host_interface, guest.host_address, guest.prefix_length, std::nullopt);
      !configured) {
    return configured;
  }
  auto configured = network_namespace::inside(inside, [&]() -> Result<void> {
    if (auto silent = silence_ipv6(kGuestInterface); !silent) return silent;
    return configure_end(kGuestInterface, guest.guest_address, guest.prefix_length,
                         guest.internet ? std::optional(guest.host_address) : std::nullopt);
  });
  if (!configured) return configured;
  undo.keep();
  return {};
}

Result<void> take_down(const Guest& guest) {
  if (auto removed = remove_host_end(guest.host_interface); !removed) return removed;
  return network_namespace::remove(guest.name);
}

}  // namespace tails::host
