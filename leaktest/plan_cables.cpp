#include <set>
#include <utility>

#include "leaktest/bed.h"
#include "leaktest/draft.h"
#include "leaktest/expectation.h"

namespace tails::leaktest {
namespace {

/// Packets put on one cable towards the machine, past the kernel of whoever is at its far end.
class Cable {
 public:
  /// `place`: as Case::place; `in`: the machine's end. `self`: the address that belongs there.
  Cable(Draft& draft, std::string user, std::string place, const InterfaceName& in, const IpAddress& self)
      : draft_(draft), user_(std::move(user)), place_(std::move(place)), in_(in), self_(self) {}

  void put(std::string to, uint8_t number, const Endpoint& target, uint8_t flags, std::string how) const {
    put_from(self_, std::move(to), number, target, flags, std::move(how));
  }
  void put_from(const IpAddress& source, std::string to, uint8_t number, const Endpoint& target, uint8_t flags,
                std::string how) const {
    Case attempt;
    attempt.user = user_;
    attempt.place = place_;
    attempt.to = std::move(to);
    attempt.how = std::move(how);
    attempt.means = Means::kInject;
    attempt.protocol = number;
    attempt.target = target;
    attempt.source.address = source;
    attempt.has_source_address = true;
    attempt.tcp_flags = flags;
    expect_on_cable(draft_.policy(), attempt, in_);
    draft_.add(std::move(attempt));
  }

 private:
  Draft& draft_;
  std::string user_, place_;
  InterfaceName in_;
  IpAddress self_;
};

/// What comes by a guest's cable when its own rules are gone.
void plan_hostile_guest(Draft& draft, const policy::Namespace& space) {
  const Cable cable(draft, "guest " + space.name, space.name, space.interface, space.guest);
  const auto put = [&](std::string to, uint8_t number, const Endpoint& target, uint8_t flags, const char* what) {
    cable.put(std::move(to), number, target, flags, std::string("raw ") + what + " past its own rules");
  };
  using protocol::kIcmp, protocol::kTcp, protocol::kUdp;
  put("the Internet", kTcp, {kInternet, 443}, tcp_flag::kSyn, "TCP SYN");
  put("the Internet", kTcp, {kInternet, 443}, tcp_flag::kAck, "TCP ACK");
  put("the Internet", kUdp, {kInternet, 53}, 0, "UDP");
  put("the Internet", kIcmp, {kInternet, 0}, 0, "ICMP");
  put("the Internet", protocol::kUdplite, {kInternet, 53}, 0, "UDP-Lite");
  const Port service = space.services.empty() ? Port{9050} : space.services.front().ports.first;
  cable.put_from(kForeign, "host, spoofed", kTcp, {space.host, service}, tcp_flag::kSyn, "TCP with another's address");
  put("host, raw", kTcp, {space.host, 9052}, tcp_flag::kSyn, "TCP SYN");
  put("host, raw", kTcp, {kHostLan, service}, tcp_flag::kSyn, "TCP SYN");
  put("host, raw", kUdp, {space.host, 8081}, 0, "UDP");
  put("host, raw", kIcmp, {space.host, 0}, 0, "ICMP");
  for (const policy::Namespace& other : draft.policy().namespaces) {
    if (other.name == space.name) continue;
    put("other guests", kTcp, {other.guest, 8080}, tcp_flag::kSyn, "TCP SYN");
    put("other guests", kUdp, {other.guest, 8081}, 0, "UDP");
    put("other guests", kTcp, {other.host, service}, tcp_flag::kSyn, "TCP SYN");
  }
}

/// TCP ports of the machine that an entry opens to some account, and two that none does.
std::set<Port> ports_of(const policy::Policy& policy) {
  std::set<Port> ports{8080, 22};
  for (const policy::Service& service : policy.services) {
    for (const policy::PortGrant& grant : service.ports) {
      if (grant.protocol == protocol::kTcp && !grant.ports.is_any() && ports.size() < kMostPlaces) {
        ports.insert(grant.ports.first);
      }
    }
  }
  return ports;
}

/// What comes from the Internet or the LAN: to the machine's `host` address, and through it to `far`.
void plan_outside(const policy::Policy& policy, const Cable& cable, const IpAddress& host, const IpAddress& far) {
  using protocol::kIcmp, protocol::kTcp, protocol::kUdp;
  using tcp_flag::kSyn;
  for (const Port port : ports_of(policy)) {
    cable.put("this machine", kTcp, {host, port}, kSyn, "TCP " + std::to_string(port));
  }
  cable.put("this machine", kUdp, {host, 8081}, 0, "UDP 8081");
  cable.put("this machine", kIcmp, {host, 0}, 0, "ping");
  cable.put("this machine", kTcp, {host, 8080}, tcp_flag::kAck, "TCP ACK");
  cable.put("this machine", kTcp, {kLoopbackV4, 9050}, kSyn, "TCP for 127.0.0.1");
  for (const policy::Namespace& space : policy.namespaces) {
    const std::string guest = "guest " + space.name;
    cable.put(guest, kTcp, {space.guest, 8080}, kSyn, "TCP 8080");
    cable.put(guest, kUdp, {space.guest, 8081}, 0, "UDP 8081");
    cable.put(guest, kIcmp, {space.guest, 0}, 0, "ping");
    cable.put("this machine", kTcp, {space.host, 8080}, kSyn, "TCP 8080 at its end of " + space.name);
  }
  cable.put("through this machine", kTcp, {far, 443}, kSyn, "TCP 443");
}

}  // namespace

void plan_cables(Draft& draft) {
  const policy::Policy& policy = draft.policy();
  for (const policy::Namespace& space : policy.namespaces) plan_hostile_guest(draft, space);
  const IpAddress lan = policy.lan.networks.empty() ? kLanGateway : address_in(policy, policy.lan.networks.back());
  plan_outside(policy, Cable(draft, "the Internet", std::string(kWire0.view()), kEth0, kInternet), kHostInternet, lan);
  plan_outside(policy, Cable(draft, "the LAN", std::string(kWire1.view()), kEth1, lan), kHostLan, kInternet);
}

}  // namespace tails::leaktest
