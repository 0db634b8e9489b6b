#include "leaktest/bed.h"

#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "host/rtnetlink.h"
#include "leaktest/wire.h"
#include "net/errno_words.h"

namespace tails::leaktest {
namespace {

tl::unexpected<Error> bed_refused(const std::string& what, int number) {
  const char* remedy = number == EPERM ? "Run as root: a leak test makes network namespaces of its own." : "";
  return fail(ErrorKind::kRefused, what + ": " + errno_words(number), remedy, number);
}

Result<Descriptor> new_namespace() {
  auto home = host::network_namespace::current();
  if (!home) return home;
  if (::unshare(CLONE_NEWNET) != 0) return bed_refused("cannot make a network namespace", errno);
  auto made = host::network_namespace::current();
  // To go on in the wrong network could touch the machine's own rules.
  if (::setns(home->get(), CLONE_NEWNET) != 0) std::abort();
  return made;
}

/// A kernel parameter that may be missing: those that matter show in the cases.
void set(const std::string& name, std::string_view value) {
  std::string path = "/proc/sys/" + name;
  std::ranges::replace(path, '.', '/');
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (file.is_open()) static_cast<void>(::write(file.get(), value.data(), value.size()) == 0);
}

/// Cables and `lo` of the namespace that the thread is in.
class Plugging {
 public:
  static Result<Plugging> open() {
    Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open()) return bed_refused("cannot open a socket", errno);
    auto netlink = host::Rtnetlink::open();
    if (!netlink) return tl::unexpected(netlink.error());
    return Plugging(std::move(socket), std::move(*netlink));
  }

  /// The same hardware address at both ends and no ARP.
  Result<void> up(const InterfaceName& name, bool is_cable) {
    ifreq request = named(name);
    if (is_cable) {
      set("net.ipv6.conf." + std::string(name.view()) + ".addr_gen_mode", "1");
      request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
      std::memcpy(request.ifr_hwaddr.sa_data, kCableMac.data(), kCableMac.size());
      if (::ioctl(socket_.get(), SIOCSIFHWADDR, &request) != 0)
        return bed_refused("cannot set a cable's address", errno);
      request = named(name);
    }
    request.ifr_flags = static_cast<short>(is_cable ? IFF_UP | IFF_NOARP : IFF_UP);
    if (::ioctl(socket_.get(), SIOCSIFFLAGS, &request) != 0) {
      return bed_refused("cannot bring up " + std::string(name.view()), errno);
    }
    return {};
  }

  Result<void> address(const InterfaceName& name, const IpAddress& address, unsigned length) {
    auto link = netlink_.find_link(name);
    if (!link) return tl::unexpected(link.error());
    if (!*link) return bed_refused("no interface " + std::string(name.view()), ENODEV);
    auto added = netlink_.add_address((*link)->index, address, length);
    // A kernel without IPv6 needs none.
    if (!added && address.family == Family::kIpv6) return {};
    return added;
  }

  Result<void> route(const Prefix& to, const IpAddress& gateway, const InterfaceName& by, short metric) {
    rtentry entry{};
    std::string device(by.view());
    const auto fill = [](sockaddr& into, const IpAddress& address) {
      sockaddr_in in{};
      in.sin_family = AF_INET;
      address.to_wire(&in.sin_addr);
      std::memcpy(&into, &in, sizeof in);
    };
    fill(entry.rt_dst, to.address());
    fill(entry.rt_genmask, to.mask());
    fill(entry.rt_gateway, gateway);
    entry.rt_flags = RTF_UP | RTF_GATEWAY;
    entry.rt_metric = static_cast<short>(metric + 1);
    entry.rt_dev = device.data();
    if (::ioctl(socket_.get(), SIOCADDRT, &entry) != 0 && errno != EEXIST)
      return bed_refused("cannot add a route", errno);
    return {};
  }

  /// All of IPv6 by that cable; nothing where the kernel has no IPv6.
  void route_ipv6(const InterfaceName& by, uint32_t metric) {
    const Descriptor socket(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open()) return;
    in6_rtmsg route{};
    route.rtmsg_flags = RTF_UP;
    route.rtmsg_metric = metric;
    route.rtmsg_ifindex = static_cast<int>(::if_nametoindex(std::string(by.view()).c_str()));
    ::ioctl(socket.get(), SIOCADDRT, &route);
  }

  host::Rtnetlink& netlink() { return netlink_; }

 private:
  Plugging(Descriptor socket, host::Rtnetlink netlink) : socket_(std::move(socket)), netlink_(std::move(netlink)) {}
  static ifreq named(const InterfaceName& name) {
    ifreq request{};
    std::memcpy(request.ifr_name, name.view().data(), name.view().size());
    return request;
  }
  Descriptor socket_;
  host::Rtnetlink netlink_;
};

void set_common() {
  for (const char* which : {"all", "default"}) {
    const std::string v4 = std::string("net.ipv4.conf.") + which;
    set(v4 + ".rp_filter", "0");
    set(v4 + ".accept_redirects", "0");
    set(v4 + ".send_redirects", "0");
    const std::string v6 = std::string("net.ipv6.conf.") + which;
    set(v6 + ".accept_dad", "0");
    set(v6 + ".router_solicitations", "0");
    set(v6 + ".disable_ipv6", "0");
  }
}

constexpr const char* kFastOpenWithoutCookie = "5";

Result<void> build_host(Bed& bed, const policy::Policy& policy) {
  set_common();
  set("net.ipv4.ip_forward", "1");
  set("net.ipv4.ping_group_range", "0 2147483647");
  // Source ports below these name cases.
  set("net.ipv4.ip_local_port_range", "61000 65000");
  set("net.ipv4.tcp_fastopen", kFastOpenWithoutCookie);
  // Refusals are not rationed: many are waited for at once.
  set("net.ipv4.icmp_ratemask", "6160");
  set("net.ipv6.icmp.ratelimit", "0");
  set("net.ipv6.icmp.ratemask", "2");  // only "packet too big", which nobody sends here, is rationed
  set("net.ipv4.icmp_msgs_per_sec", "1000000");
  set("net.ipv4.icmp_msgs_burst", "100000");
  auto plug = Plugging::open();
  if (!plug) return tl::unexpected(plug.error());
  if (auto done = plug->netlink().add_veth(kEth0, kWire0, bed.outside.get()); !done) return done;
  if (auto done = plug->netlink().add_veth(kEth1, kWire1, bed.outside.get()); !done) return done;
  if (auto done = plug->up(kLoopbackInterface, false); !done) return done;
  for (const auto& [cable, address] : {std::pair{kEth0, kHostInternet}, std::pair{kEth1, kHostLan}}) {
    if (auto done = plug->up(cable, true); !done) return done;
    if (auto done = plug->address(cable, address, 24); !done) return done;
  }
  if (auto done = plug->address(kEth0, kHostV6, 64); !done) return done;
  if (auto done = plug->address(kEth1, kHostLanV6, 64); !done) return done;
  const Prefix everything = *Prefix::make(IpAddress::v4(0), 0);
  if (auto done = plug->route(everything, kGateway, kEth0, 0); !done) return done;
  // Also by eth1, for sockets that are bound to it.
  if (auto done = plug->route(everything, kLanGateway, kEth1, 100); !done) return done;
  for (const Prefix& lan : policy.lan.networks) {
    if (auto done = plug->route(lan, kLanGateway, kEth1, 0); !done) return done;
  }
  plug->route_ipv6(kEth0, 1);
  plug->route_ipv6(kEth1, 100);
  for (auto& [name, guest] : bed.guests) {
    const auto& space = *std::ranges::find(policy.namespaces, name, &policy::Namespace::name);
    if (auto done = plug->netlink().add_veth(space.interface, policy::kGuestInterface, guest.space.get()); !done) {
      return done;
    }
    if (auto done = plug->up(space.interface, true); !done) return done;
    if (auto done = plug->address(space.interface, space.host, space.network.length()); !done) return done;
  }
  return {};
}

Result<void> build_guest(const policy::Namespace& space) {
  set_common();
  auto plug = Plugging::open();
  if (!plug) return tl::unexpected(plug.error());
  if (auto done = plug->up(kLoopbackInterface, false); !done) return done;
  if (auto done = plug->up(policy::kGuestInterface, true); !done) return done;
  set("net.ipv4.conf.veth0.route_localnet", "1");
  if (auto done = plug->address(policy::kGuestInterface, space.guest, space.network.length()); !done) return done;
  const IpAddress v6 = IpAddress::v6(0x20010db8000f0000, space.guest.v4_bits());
  if (auto done = plug->address(policy::kGuestInterface, v6, 64); !done) return done;
  return plug->route(*Prefix::make(IpAddress::v4(0), 0), space.host, policy::kGuestInterface, 0);
}

Result<void> build_outside() {
  set_common();
  auto plug = Plugging::open();
  if (!plug) return tl::unexpected(plug.error());
  if (auto done = plug->up(kWire0, true); !done) return done;
  return plug->up(kWire1, true);
}

}  // namespace

Result<Bed> Bed::build(const policy::Policy& policy) {
  // Where IPv6 is a module, asking for a socket loads it; asking for an address does not.
  static_cast<void>(Descriptor(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
  Bed bed;
  for (Descriptor* space : {&bed.host, &bed.outside}) {
    auto made = new_namespace();
    if (!made) return tl::unexpected(made.error());
    *space = std::move(*made);
  }
  for (const policy::Namespace& space : policy.namespaces) {
    auto made = new_namespace();
    if (!made) return tl::unexpected(made.error());
    bed.guests[space.name] = {std::move(*made), space.guest, space.host, space.interface};
  }
  if (auto done = inside(bed.host, [&] { return build_host(bed, policy); }); !done) return tl::unexpected(done.error());
  if (auto done = inside(bed.outside, [] { return build_outside(); }); !done) return tl::unexpected(done.error());
  for (const policy::Namespace& space : policy.namespaces) {
    auto done = inside(bed.guests.at(space.name).space, [&] { return build_guest(space); });
    if (!done) return tl::unexpected(done.error());
  }
  return bed;
}

bool is_own(const policy::Policy& policy, const IpAddress& address) {
  if (address == kHostInternet || address == kHostLan || address == kHostV6 || address == kHostLanV6 ||
      address == kLoopbackV6) {
    return true;
  }
  if (kLoopbackNetV4.contains(address)) return true;
  return std::ranges::any_of(policy.namespaces, [&](const auto& space) { return space.host == address; });
}

InterfaceName route_of(const policy::Policy& policy, const IpAddress& destination) {
  if (is_own(policy, destination)) return kLoopbackInterface;
  for (const policy::Namespace& space : policy.namespaces) {
    if (space.network.contains(destination)) return space.interface;
  }
  const bool is_lan =
      Prefix::make(kHostLan, 24)->contains(destination) ||
      std::ranges::any_of(policy.lan.networks, [&](const Prefix& p) { return p.contains(destination); });
  return is_lan ? kEth1 : kEth0;
}

InterfaceName route_of(const policy::Policy& policy, const IpAddress& destination, const InterfaceName& device) {
  if (device.empty()) return route_of(policy, destination);
  // An address of the machine itself is a local route of the cable that has it, and goes by lo.
  const bool is_of_device = (device == kEth0 && (destination == kHostInternet || destination == kHostV6)) ||
                            (device == kEth1 && destination == kHostLan) ||
                            std::ranges::any_of(policy.namespaces, [&](const auto& space) {
                              return space.interface == device && space.host == destination;
                            });
  return is_of_device ? kLoopbackInterface : device;
}

IpAddress source_of(const policy::Policy& policy, const IpAddress& destination, const InterfaceName& device) {
  const InterfaceName by = route_of(policy, destination, device);
  if (destination.family == Family::kIpv6) return by.is_loopback() && destination != kHostV6 ? kLoopbackV6 : kHostV6;
  if (by.is_loopback()) return kLoopbackNetV4.contains(destination) ? kLoopbackV4 : destination;
  const auto space = std::ranges::find(policy.namespaces, by, &policy::Namespace::interface);
  if (space != policy.namespaces.end()) return space->host;
  return by == kEth1 ? kHostLan : kHostInternet;
}

}  // namespace tails::leaktest
