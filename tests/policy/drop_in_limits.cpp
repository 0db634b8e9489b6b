#include "tests/policy/drop_in_limits.h"

#include <algorithm>
#include <tuple>

#include "policy/decide.h"
#include "tests/policy/generators.h"

namespace tails::testing {
namespace {

using policy::Policy;

bool same(const policy::Tor& a, const policy::Tor& b) {
  const auto fields = [](const policy::Tor& t) {
    return std::tie(t.user, t.out, t.lan, t.lan_dns, t.trans_port, t.dns_port, t.redirect_dns, t.automap);
  };
  return fields(a) == fields(b);
}

bool same(const policy::Direct& a, const policy::Direct& b) {
  const auto fields = [](const policy::Direct& d) { return std::tie(d.user, d.out, d.lan, d.lan_dns, d.is_active); };
  return fields(a) == fields(b);
}

bool same(const policy::Blocked& a, const policy::Blocked& b) {
  return std::tie(a.log, a.nflog_group, a.prefix, a.answer, a.log_limit) ==
         std::tie(b.log, b.nflog_group, b.prefix, b.answer, b.log_limit);
}

bool same(const policy::Host& a, const policy::Host& b) {
  return std::tie(a.resolver, a.clearnet_resolver_file, a.sysctl) ==
         std::tie(b.resolver, b.clearnet_resolver_file, b.sysctl);
}

/// An interface of a namespace that only `merged` has.
bool is_new_guest(const Policy& base, const Policy& merged, const InterfaceName& interface) {
  const auto has = [&](const Policy& policy) {
    return std::ranges::find(policy.namespaces, interface, &policy::Namespace::interface) != policy.namespaces.end();
  };
  return has(merged) && !has(base);
}

/// A service of `policy` denies it to the packet's owner. `destination`: as the filter sees it. A later fragment has no
/// ports, whatever stands in the packet's fields: only a denial of every port is about it (docs/semantics.md).
bool is_denied(const Policy& policy, const Packet& packet, const Endpoint& destination) {
  return std::ranges::any_of(policy.services, [&](const policy::Service& service) {
    const auto covers = [&](const policy::PortGrant& grant) {
      return grant.covers(packet.protocol, destination.port) && (!packet.later_fragment || grant.ports.is_any());
    };
    const auto is_owner = [&](const policy::User& user) { return user.uid == packet.uid; };
    return service.at == destination.address && std::ranges::any_of(service.ports, covers) &&
           std::ranges::any_of(service.deny, is_owner);
  });
}

bool may_be_new(const Policy& base, const Policy& merged, const Packet& packet, const Endpoint& destination) {
  const bool by_new_guest = is_new_guest(base, merged, packet.in) || is_new_guest(base, merged, packet.out);
  switch (packet.hook) {
    // Services at ::1 are judged on both ways.
    case Hook::kInput: return packet.in == kLoopbackInterface || is_new_guest(base, merged, packet.in);
    case Hook::kForward: return by_new_guest;
    case Hook::kOutput: break;
  }
  // Errors of ICMP about the guest's own traffic.
  if (by_new_guest) return packet.is_icmp() && packet.state == ConnState::kRelated;
  return packet.out == kLoopbackInterface && !is_denied(base, packet, destination);
}

}  // namespace

std::optional<std::string> changed_setting(const Policy& base, const Policy& merged) {
  if (base.tor.has_value() != merged.tor.has_value() || (base.tor && !same(*base.tor, *merged.tor))) return "[tor]";
  if (base.live != merged.live) return "[live]";
  const auto are_same = [](const policy::Direct& a, const policy::Direct& b) { return same(a, b); };
  if (!std::ranges::equal(base.direct, merged.direct, are_same)) return "[[direct]]";
  if (base.lan.networks != merged.lan.networks || base.lan.closed != merged.lan.closed) return "[lan]";
  if (base.related_icmp_on_loopback != merged.related_icmp_on_loopback) return "[states]";
  if (!same(base.blocked, merged.blocked)) return "[blocked]";
  if (!same(base.host, merged.host)) return "[host]";
  if (base.wire.pass_arp != merged.wire.pass_arp || base.wire.pass_dhcp != merged.wire.pass_dhcp) return "[wire]";
  if (base.name != merged.name) return "name";
  return std::nullopt;
}

std::optional<std::string> widening(const Policy& base, const Policy& merged, const Packet& packet) {
  const policy::Decision before = decide(base, packet);
  const policy::Decision after = decide(merged, packet);
  if (after.redirected_to && before.redirected_to != after.redirected_to) return "redirects " + describe(packet);
  if (after.verdict != Verdict::kAccept || before.verdict == Verdict::kAccept) return std::nullopt;
  const Endpoint destination =
      after.redirected_to.value_or(packet.recorded_nat.value_or(Endpoint{packet.destination, packet.destination_port}));
  if (may_be_new(base, merged, packet, destination)) return std::nullopt;
  return "lets through " + describe(packet) + ", by " + after.origin.entry.str();
}

}  // namespace tails::testing
