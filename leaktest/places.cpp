#include "leaktest/places.h"

#include <algorithm>
#include <set>

#include "leaktest/bed.h"

namespace tails::leaktest {
namespace {

enum class Which : uint8_t { kEnds, kBeside };

/// The ends of each range, or what lies beside them: where a rule that is too wide or too narrow shows.
void add_ports(Place& place, const std::vector<policy::PortGrant>& grants, Which which) {
  for (const policy::PortGrant& grant : grants) {
    std::vector<Port>& ports = grant.protocol == protocol::kTcp ? place.tcp : place.udp;
    if (which == Which::kBeside) {
      if (!grant.ports.is_any()) add_port(ports, grant.ports.last + 1U), add_port(ports, grant.ports.first - 1U);
    } else if (grant.ports.is_any()) {
      add_port(ports, grant.protocol == protocol::kTcp ? 7777 : 7778);
    } else {
      add_port(ports, grant.ports.first);
      add_port(ports, grant.ports.last);
    }
  }
}

void add_ports(Place& place, const std::vector<policy::PortGrant>& grants) {
  add_ports(place, grants, Which::kEnds);
  add_ports(place, grants, Which::kBeside);
}

}  // namespace

void add_port(std::vector<Port>& ports, unsigned port) {
  if (port < 1 || port > 65535) return;
  const Port value = static_cast<Port>(port);
  if (std::ranges::find(ports, value) == ports.end()) ports.push_back(value);
}

bool is_for_many(const IpAddress& address) {
  if (address.family == Family::kIpv6) return address.high >> 56 == 0xFF;
  return address.v4_bits() >> 28 == 0xE || (address.v4_bits() & 0xFF) == 0xFF;
}

IpAddress address_in(const policy::Policy& policy, const Prefix& lan) {
  const Prefix here = *Prefix::make(kHostLan, 24);
  IpAddress address = lan.contains(kLanGateway) ? kLanGateway : lan.address();
  if (!lan.contains(kLanGateway) && lan.length() <= 24) address = IpAddress::v4(address.v4_bits() + 0x1403);
  const auto is_taken = [&](const IpAddress& a) {
    return std::ranges::any_of(policy.namespaces, [&](const auto& s) { return s.network.contains(a); }) ||
           (is_own(policy, a) && !here.contains(a));
  };
  while (is_taken(address) && lan.contains(address)) address = IpAddress::v4(address.v4_bits() + 4);
  return address;
}

std::vector<Place> places_of(const policy::Policy& policy) {
  using enum Odd;
  std::vector<Place> places;
  Place internet{"the Internet", kInternet, {443, 53}, {443, 53}, kAll};
  if (policy.tor) add_ports(internet, policy.tor->out);
  for (const policy::Direct& direct : policy.direct) add_ports(internet, direct.out);
  places.push_back(std::move(internet));

  bool is_first = true;
  for (const Prefix& network : policy.lan.networks) {
    Place lan{"the LAN (" + to_string(network) + ")", address_in(policy, network), {445}, {4000}};
    lan.odd = is_first ? kAll : kSome;
    add_ports(lan, policy.lan.closed);
    if (is_first) lan.tcp.push_back(7777);
    is_first = false;
    places.push_back(std::move(lan));
  }
  places.push_back({"the LAN's broadcast", IpAddress::v4(192, 168, 50, 255), {}, {137, 4000}, kAll});
  places.push_back({"limited broadcast", IpAddress::v4(255, 255, 255, 255), {}, {67, 4000}, kAll});
  places.push_back({"multicast (mDNS, SSDP)", IpAddress::v4(224, 0, 0, 251), {}, {5353}, kAll});
  places.push_back({"multicast (mDNS, SSDP)", IpAddress::v4(239, 255, 255, 250), {}, {1900}});
  places.push_back({"link-local", IpAddress::v4(169, 254, 7, 7), {80}, {5355}, kAll});
  places.push_back({"its own LAN address", kHostLan, {8080}, {8081}, kAll});
  places.push_back({"its own Internet address", kHostInternet, {8080}, {8081}, kAll});
  is_first = true;
  for (const policy::Namespace& space : policy.namespaces) {
    places.push_back({"guest " + space.name, space.guest, {8080}, {8081}, is_first ? kAll : kSome});
    places.push_back({"its own end of " + space.name, space.host, {8080}, {}, is_first ? kAll : kSome});
    is_first = false;
  }
  places.push_back({"the Internet, IPv6", kInternetV6, {443}, {53}, kAll});
  places.push_back({"its own IPv6 address", kHostV6, {8080}, {8081}, kAll});
  places.push_back({"IPv6 multicast", IpAddress::v6(0xFF02000000000000, 0xFB), {}, {5353}, kAll});
  if (policy.tor && policy.tor->automap) {
    const IpAddress first = policy.tor->automap->address();
    places.push_back({"onion names (automap)", IpAddress::v4(first.v4_bits() + 7), {80}, {80}, kAll});
  }
  Place dns{"local DNS", kLoopbackV4, {53}, {53}, kAll};
  if (policy.tor && policy.tor->dns_port) add_ports(dns, {{protocol::kUdp, PortRange::one(*policy.tor->dns_port)}});
  if (policy.tor && policy.tor->trans_port) dns.tcp.push_back(*policy.tor->trans_port);
  places.push_back(std::move(dns));
  size_t services = 0;
  std::set<Family> seen;
  for (const policy::Service& service : policy.services) {
    if (++services > kMostPlaces) continue;
    const bool is_first_at = seen.insert(service.at.family).second;
    Place place{service.name, service.at, {}, {}, is_first_at ? kAll : kSome, service.from};
    add_ports(place, service.ports, Which::kEnds);
    Place beside{"ports beside: " + service.name, service.at};
    add_ports(beside, service.ports, Which::kBeside);
    places.push_back(std::move(place));
    if (!beside.tcp.empty() || !beside.udp.empty()) places.push_back(std::move(beside));
  }
  places.push_back({"a local port without a service", kLoopbackV4, {7}, {7}, kSome});
  places.push_back({"another loopback address", IpAddress::v4(127, 9, 9, 9), {9050, 80}, {53}, kAll});
  places.push_back({"a local IPv6 port without a service", kLoopbackV6, {7}, {7}, kAll});
  return places;
}

}  // namespace tails::leaktest
