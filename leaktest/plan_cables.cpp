#include <set>
#include <utility>

#include "leaktest/bed.h"
#include "leaktest/draft.h"
#include "leaktest/expectation.h"

namespace tails::leaktest {
namespace {

/// What comes by a guest's cable when its own rules are gone.
void plan_hostile_guest(Draft& draft, const policy::Namespace& space) {
  const auto put = [&](std::string to, uint8_t number, const IpAddress& source, const Endpoint& target, uint8_t flags,
                       std::string how) {
    Case attempt;
    attempt.user = "guest " + space.name;
    attempt.place = space.name;
    attempt.means = Means::kInject;
    attempt.protocol = number;
    attempt.target = target;
    attempt.source.address = source;
    attempt.has_source_address = true;
    attempt.tcp_flags = flags;
    attempt.to = std::move(to);
    attempt.how = std::move(how);
    expect_on_cable(draft.policy(), attempt, space.interface);
    draft.add(std::move(attempt));
  };
  const IpAddress& self = space.guest;
  put("the Internet", protocol::kTcp, self, {kInternet, 443}, tcp_flag::kSyn, "raw TCP SYN past its own rules");
  put("the Internet", protocol::kTcp, self, {kInternet, 443}, tcp_flag::kAck, "raw TCP ACK past its own rules");
  put("the Internet", protocol::kUdp, self, {kInternet, 53}, 0, "raw UDP past its own rules");
  put("the Internet", protocol::kIcmp, self, {kInternet, 0}, 0, "raw ICMP past its own rules");
  put("the Internet", protocol::kUdplite, self, {kInternet, 53}, 0, "raw UDP-Lite past its own rules");
  const Port service = space.services.empty() ? Port{9050} : space.services.front().ports.first;
  put("host, spoofed", protocol::kTcp, kForeign, {space.host, service}, tcp_flag::kSyn, "TCP with another's address");
  put("host, raw", protocol::kTcp, self, {space.host, 9052}, tcp_flag::kSyn, "raw TCP SYN past its own rules");
  put("host, raw", protocol::kTcp, self, {kHostLan, service}, tcp_flag::kSyn, "raw TCP SYN past its own rules");
  put("host, raw", protocol::kUdp, self, {space.host, 8081}, 0, "raw UDP past its own rules");
  put("host, raw", protocol::kIcmp, self, {space.host, 0}, 0, "raw ICMP past its own rules");
  for (const policy::Namespace& other : draft.policy().namespaces) {
    if (other.name == space.name) continue;
    put("other guests", protocol::kTcp, self, {other.guest, 8080}, tcp_flag::kSyn, "raw TCP SYN past its own rules");
    put("other guests", protocol::kUdp, self, {other.guest, 8081}, 0, "raw UDP past its own rules");
    put("other guests", protocol::kTcp, self, {other.host, service}, tcp_flag::kSyn, "raw TCP SYN past its own rules");
  }
}

void plan_outside(Draft& draft) {
  const policy::Policy& policy = draft.policy();
  const auto put = [&](const char* user, const InterfaceName& wire, const InterfaceName& in, const IpAddress& source,
                       const Endpoint& target, uint8_t number, uint8_t flags, std::string to, std::string how) {
    Case attempt;
    attempt.user = user;
    attempt.place = std::string(wire.view());
    attempt.means = Means::kInject;
    attempt.protocol = number;
    attempt.target = target;
    attempt.source.address = source;
    attempt.has_source_address = true;
    attempt.tcp_flags = flags;
    attempt.to = std::move(to);
    attempt.how = std::move(how);
    expect_on_cable(draft.policy(), attempt, in);
    draft.add(std::move(attempt));
  };
  struct Side {
    const char* user;
    InterfaceName wire, in;
    IpAddress source, host;
  };
  const IpAddress lan = policy.lan.networks.empty() ? kLanGateway : address_in(policy, policy.lan.networks.back());
  for (const Side& side :
       {Side{"the Internet", kWire0, kEth0, kInternet, kHostInternet}, Side{"the LAN", kWire1, kEth1, lan, kHostLan}}) {
    std::set<Port> ports{8080, 22};
    for (const policy::Service& service : policy.services) {
      for (const policy::PortGrant& grant : service.ports) {
        if (grant.protocol == protocol::kTcp && !grant.ports.is_any() && ports.size() < kMostPlaces) {
          ports.insert(grant.ports.first);
        }
      }
    }
    for (const Port port : ports) {
      put(side.user, side.wire, side.in, side.source, {side.host, port}, protocol::kTcp, tcp_flag::kSyn, "this machine",
          "TCP " + std::to_string(port));
    }
    put(side.user, side.wire, side.in, side.source, {side.host, 8081}, protocol::kUdp, 0, "this machine", "UDP 8081");
    put(side.user, side.wire, side.in, side.source, {side.host, 0}, protocol::kIcmp, 0, "this machine", "ping");
    put(side.user, side.wire, side.in, side.source, {side.host, 8080}, protocol::kTcp, tcp_flag::kAck, "this machine",
        "TCP ACK");
    put(side.user, side.wire, side.in, side.source, {kLoopbackV4, 9050}, protocol::kTcp, tcp_flag::kSyn, "this machine",
        "TCP for 127.0.0.1");
    for (const policy::Namespace& space : policy.namespaces) {
      put(side.user, side.wire, side.in, side.source, {space.guest, 8080}, protocol::kTcp, tcp_flag::kSyn,
          "guest " + space.name, "TCP 8080");
      put(side.user, side.wire, side.in, side.source, {space.guest, 8081}, protocol::kUdp, 0, "guest " + space.name,
          "UDP 8081");
      put(side.user, side.wire, side.in, side.source, {space.guest, 0}, protocol::kIcmp, 0, "guest " + space.name,
          "ping");
      put(side.user, side.wire, side.in, side.source, {space.host, 8080}, protocol::kTcp, tcp_flag::kSyn,
          "this machine", "TCP 8080 at its end of " + space.name);
    }
    // Through the machine to the other side.
    const IpAddress far = side.wire == kWire0 ? lan : kInternet;
    put(side.user, side.wire, side.in, side.source, {far, 443}, protocol::kTcp, tcp_flag::kSyn, "through this machine",
        "TCP 443");
  }
}

}  // namespace

void plan_cables(Draft& draft) {
  for (const policy::Namespace& space : draft.policy().namespaces) plan_hostile_guest(draft, space);
  plan_outside(draft);
}

}  // namespace tails::leaktest
