#include "proof/service_boxes.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace tails::proof {
namespace {

using policy::PortGrant;
using policy::Service;

/// With redirect_dns, udp/53 of 127.0.0.1 arrives at dns_port: two names of one place.
std::array<Port, 2> dns_names(const policy::Policy& policy) { return {53, *policy.tor->dns_port}; }

bool names_dns(const policy::Policy& policy, const Service& service) {
  if (!policy.tor || !policy.tor->redirect_dns || service.at != kLoopbackV4) return false;
  const std::array names = dns_names(policy);
  return std::ranges::any_of(service.ports, [&](const PortGrant& grant) {
    return grant.covers(protocol::kUdp, names[0]) || grant.covers(protocol::kUdp, names[1]);
  });
}

Box with_ports(const Box& box, const PortRange& source, const PortRange& destination) {
  // Without any port to look at, later fragments are in as well.
  return source.is_any() && destination.is_any() ? box : box.with_ports(source, destination);
}

}  // namespace

std::optional<std::vector<Box>> service_boxes(const policy::Policy& policy, Family family, uint8_t number,
                                              ServiceSet set) {
  static constexpr std::array kAnySource = {PortRange{}};
  std::vector<Box> boxes;
  boxes.reserve(policy.services.size());
  for (const Service& service : policy.services) {
    const bool is_denial = set == ServiceSet::kDenials;
    const std::vector<policy::User>& users = is_denial ? service.deny : service.allow;
    if (service.at.family != family || users.empty() || (!is_denial && !service.is_active)) continue;
    Box box = Box::all(family);
    box.destination = Prefix::host(service.at);
    const auto add = [&](const PortRange& source, const PortRange& ports) {
      Box part = with_ports(box, source, ports);
      if (set == ServiceSet::kPlaces) {
        boxes.push_back(part);
        return;
      }
      for (const policy::User& user : users) {
        part.users = {user.uid.value, user.uid.value};
        boxes.push_back(part);
      }
    };
    const std::span<const PortRange> sources =
        is_denial || service.from.empty() ? std::span<const PortRange>(kAnySource) : service.from;
    for (const PortRange& source : sources) {
      for (const PortGrant& grant : service.ports) {
        if (grant.protocol == number) add(source, grant.ports);
      }
      if (number != protocol::kUdp || !names_dns(policy, service)) continue;
      for (const Port name : dns_names(policy)) add(source, PortRange::one(name));
    }
  }
  return canonical(std::move(boxes));
}

}  // namespace tails::proof
