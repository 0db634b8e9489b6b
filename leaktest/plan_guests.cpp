#include <algorithm>
#include <utility>

#include "leaktest/bed.h"
#include "leaktest/draft.h"

namespace tails::leaktest {
namespace {

void plan_guest(Draft& draft, const policy::Namespace& space) {
  const policy::Policy& policy = draft.policy();
  const policy::User user = policy.live ? *policy.live : policy::User{"an unknown account", kStranger};
  const auto put = [&](std::string to, Means means, uint8_t number, const Endpoint& target, bool may_pass,
                       std::string how = {}) {
    Case attempt;
    attempt.user = "guest " + space.name;
    attempt.uid = user.uid;
    attempt.place = space.name;
    attempt.to = std::move(to);
    const char* name = number == protocol::kTcp ? "TCP " : number == protocol::kUdp ? "UDP " : "";
    attempt.how = how.empty() ? name + std::to_string(target.port) : std::move(how);
    attempt.means = means;
    attempt.protocol = number;
    attempt.target = attempt.arrives_at = target;
    attempt.expected = may_pass ? Expected::kReaches : Expected::kStopped;
    attempt.origin = space.origin;
    draft.add(std::move(attempt));
  };
  const auto tcp = [&](std::string to, const IpAddress& at, Port port, bool may_pass) {
    put(std::move(to), Means::kTcp, protocol::kTcp, {at, port}, may_pass);
  };
  const auto udp = [&](std::string to, const IpAddress& at, Port port, bool may_pass) {
    put(std::move(to), Means::kUdp, protocol::kUdp, {at, port}, may_pass);
  };
  const auto is_service = [&](Port port) {
    return std::ranges::any_of(space.services,
                               [&](const policy::PortGrant& g) { return g.covers(protocol::kTcp, port); });
  };
  std::vector<Port> ports{9052, 22};
  for (const policy::Namespace& other : policy.namespaces) {
    for (const policy::PortGrant& grant : other.services) add_port(ports, grant.ports.first);
  }
  for (const Port port : ports) {
    tcp("host: port " + std::to_string(port), space.host, port, is_service(port));
    tcp("host: port " + std::to_string(port) + ", as 127.0.0.1", kLoopbackV4, port, is_service(port));
    tcp("the host's other addresses", kHostLan, port, false);
  }
  udp("host: UDP", space.host, 8081, false);
  tcp("the Internet", kInternet, 443, space.internet);
  udp("the Internet", kInternet, 53, space.internet);
  udp("the Internet", kInternet, 443, space.internet);
  put("the Internet", Means::kPing, protocol::kIcmp, {kInternet, 0}, false, "ping");
  if (!policy.lan.networks.empty()) {
    const IpAddress lan = address_in(policy, policy.lan.networks.back());
    tcp("the LAN", lan, 445, space.internet);
    udp("the LAN", lan, 53, space.internet);
  }
  for (const policy::Namespace& other : policy.namespaces) {
    if (other.name == space.name) continue;
    tcp("other guests", other.guest, 8080, false);
    tcp("other guests", other.host, other.services.empty() ? Port{9050} : other.services.front().ports.first, false);
  }
  tcp("IPv6", kInternetV6, 443, false);
}

}  // namespace

void plan_guests(Draft& draft) {
  for (const policy::Namespace& space : draft.policy().namespaces) plan_guest(draft, space);
}

}  // namespace tails::leaktest
