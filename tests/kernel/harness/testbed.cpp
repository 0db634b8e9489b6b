#include "tests/kernel/harness/testbed.h"

#include <sys/socket.h>
#include <unistd.h>

#include <initializer_list>
#include <utility>

#include "tests/kernel/harness/program.h"

namespace tails::testbed {
namespace {

constexpr const char* kMacText = "02:00:00:00:00:07";

/// A path by which `ip` finds a namespace that has no name.
std::string path_of(const NetworkNamespace& target) {
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(target.fd());
}

/// Plugs a cable in: a line for `ip -batch`.
std::string plug(Testbed& bed, const std::string& near, const std::string& far, const std::string& guest) {
  bed.cables.push_back({*InterfaceName::make(near), guest, *InterfaceName::make(far)});
  const std::string end = std::string(" address ") + kMacText;
  return "link add name " + near + end + " type veth peer name " + far + end + " netns " +
         path_of(bed.far_side(bed.cables.back())) + "\n";
}

std::string up(const std::string& interface, std::initializer_list<std::string> addresses) {
  std::string text = "link set dev " + interface + " addrgenmode none arp off up\n";
  for (const std::string& address : addresses) text += "addr add " + address + " dev " + interface + "\n";
  return text;
}

Result<void> configure(const NetworkNamespace& target, const std::string& batch,
                       std::initializer_list<std::pair<const char*, const char*>> sysctls) {
  const Inside inside(target);
  for (const auto& [name, value] : sysctls) {
    if (auto set = set_sysctl(name, value); !set) return set;
  }
  auto done = run_checked({.arguments = {"ip", "-batch", "-"}, .input = batch});
  if (!done) return tl::unexpected(done.error());
  return {};
}

std::string slash(const IpAddress& address, unsigned length) {
  return to_string(address) + "/" + std::to_string(length);
}

}  // namespace

Result<Testbed> Testbed::build(const std::vector<Guest>& guest_list,
                               const std::vector<InterfaceName>& more_interfaces) {
  // Where IPv6 is a module, asking for a socket loads it; asking for an address does not.
  static_cast<void>(Descriptor(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
  auto host = NetworkNamespace::create();
  if (!host) return tl::unexpected(host.error());
  auto outside = NetworkNamespace::create();
  if (!outside) return tl::unexpected(outside.error());
  Testbed bed{std::move(*host), std::move(*outside), {}, {}};

  std::string on_host = plug(bed, "eth0", "wire0", "") + plug(bed, "eth1", "wire1", "") +
                        up("eth0", {slash(kHostInternet, 24), slash(kHostV6, 64)}) +
                        up("eth1", {slash(kHostLan, 24), slash(kHostLanV6, 64)}) + "route add default via " +
                        to_string(kGateway) + "\n";
  std::string on_outside = up("wire0", {slash(kGateway, 24), "2001:db8::1/64"}) +
                           up("wire1", {slash(kLanNeighbour, 24), slash(kLanResolver, 24)});
  for (size_t i = 0; i < more_interfaces.size(); ++i) {
    const std::string near(more_interfaces[i].view());
    const std::string far = "wire" + std::to_string(i + 2);
    const IpAddress address = IpAddress::v4(198, 18, static_cast<uint8_t>(i), 10);
    on_host += plug(bed, near, far, "") +
               up(near, {slash(address, 24), slash(IpAddress::v6(0x20010db800001000 + i, 0x10), 64)});
    on_outside += up(far, {slash(IpAddress::v4(198, 18, static_cast<uint8_t>(i), 1), 24)});
  }
  // Also by eth1, for sockets that are bound to it.
  on_host += "route add default via " + to_string(kLanNeighbour) + " dev eth1 metric 100\n";
  for (const char* lan : {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"}) {
    on_host += std::string("route add ") + lan + " via " + to_string(kLanNeighbour) + "\n";
  }
  on_host += "route add ::/0 dev eth0\nroute add ::/0 dev eth1 metric 2048\n";
  uint64_t guest_network = 0x20010db8000f0000;
  for (const Guest& guest : guest_list) {
    guest_network += 1;
    auto created = NetworkNamespace::create();
    if (!created) return tl::unexpected(created.error());
    bed.guests.emplace(guest.name, std::move(*created));
    on_host += plug(bed, "veth-" + guest.name, "veth0", guest.name) +
               up("veth-" + guest.name, {slash(guest.host, 30), slash(IpAddress::v6(guest_network, 1), 64)});
  }
  auto done = configure(bed.host, on_host,
                        {{"net.ipv4.conf.all.rp_filter", "0"},
                         {"net.ipv4.conf.default.rp_filter", "0"},
                         {"net.ipv4.conf.default.accept_redirects", "0"},
                         {"net.ipv4.conf.all.send_redirects", "0"},
                         {"net.ipv4.conf.default.send_redirects", "0"},
                         {"net.ipv4.ip_forward", "1"}});
  if (!done) return tl::unexpected(done.error());

  for (const IpAddress& address : {kInternet, kOtherInternet, kFarLan, kOtherFarLan}) {
    on_outside += "addr add " + slash(address, 32) + " dev lo\n";
  }
  on_outside += "addr add " + slash(kInternetV6, 128) + " dev lo\n";
  done = configure(bed.outside, on_outside,
                   {{"net.ipv4.conf.all.rp_filter", "0"}, {"net.ipv4.conf.default.rp_filter", "0"}});
  if (!done) return tl::unexpected(done.error());

  for (const Guest& guest : guest_list) {
    const IpAddress address = IpAddress::v4(guest.host.v4_bits() + 1);
    done = configure(bed.guests.at(guest.name),
                     up("veth0", {slash(address, 30)}) + "route add default via " + to_string(guest.host) + "\n",
                     {{"net.ipv4.conf.all.rp_filter", "0"}, {"net.ipv4.conf.default.rp_filter", "0"}});
    if (!done) return tl::unexpected(done.error());
  }
  return bed;
}

std::vector<Testbed::Guest> tails_guests() {
  return {{"tbb", IpAddress::v4(10, 200, 1, 1)},
          {"onioncircs", IpAddress::v4(10, 200, 1, 5)},
          {"tca", IpAddress::v4(10, 200, 1, 9)},
          {"onionshare", IpAddress::v4(10, 200, 1, 13)},
          {"clearnet", IpAddress::v4(10, 200, 1, 17)}};
}

}  // namespace tails::testbed
