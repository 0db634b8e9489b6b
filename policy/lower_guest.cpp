// The rules inside a namespace. They keep its programs honest and comfortable; what the guest may reach is decided by
// the host's rules, which do not trust these.
#include <utility>

#include "policy/lower.h"
#include "policy/lowering.h"

namespace tails::policy {
namespace {

using namespace ruleset;

/// 127.0.0.1:PORT inside the guest is the host's service. Such a packet keeps "lo" as its output interface in filter
/// OUTPUT and leaves by veth0 with its source, 127.0.0.1, which MASQUERADE turns into the guest's address. The kernel
/// lets it out only where net.ipv4.conf.veth0.route_localnet is 1.
Table lower_nat(const Namespace& space, RuleSet& rules) {
  Table nat = Table::open(Family::kIpv4, TableName::kNat);
  ChainWriter output(rules, *nat.find("OUTPUT"));
  for (const Transport& transport : transports(space.services, {}, Opening::kAny)) {
    Dnat to_host;
    to_host.first = to_host.last = space.host;
    output.add(Tests().to(Prefix::host(kLoopbackV4)).transport(transport), to_host, space.origin);
  }
  ChainWriter(rules, *nat.find("POSTROUTING")).add(Tests().out(kGuestInterface), Masquerade{}, space.origin);
  return nat;
}

Table lower_filter(const Namespace& space, RuleSet& rules) {
  const Origin& origin = space.origin;
  Table filter = closed_table(Family::kIpv4, rules.intern(origin));

  // Nothing from outside but answers, and the ICMP errors that belong to them (path MTU).
  ChainWriter input(rules, *filter.find("INPUT"));
  input.add(Tests().in(kLoopbackInterface), Accept{}, origin);
  input.add(Tests().state(ConnState::kEstablished), Accept{}, origin);
  input.add(Tests().protocol(protocol::kIcmp).state(ConnState::kRelated), Accept{}, origin);

  ChainWriter output(rules, *filter.find("OUTPUT"));
  output.add(Tests().out(kLoopbackInterface), Accept{}, origin);
  // Before every grant: a packet with another's address is never sent.
  output.add(Tests().not_from(Prefix::host(space.guest)), Reject{Reject::kPortUnreachableV4}, origin);
  if (space.internet) {
    output.add(Tests(), Accept{}, origin);
    return filter;
  }
  output.add(Tests().state(ConnState::kEstablished), Accept{}, origin);
  for (const Transport& transport : transports(space.services, {}, Opening::kOnly)) {
    output.add(Tests().to(Prefix::host(space.host)).transport(transport).state(ConnState::kNew), Accept{}, origin);
  }
  // Refused and not dropped, so that a program learns at once.
  output.add(Tests(), Reject{Reject::kPortUnreachableV4}, origin);
  return filter;
}

/// IPv6 stays inside: by loopback between ::1 and ::1.
Table lower_filter_v6(const Namespace& space, RuleSet& rules) {
  const Prefix self = Prefix::host(kLoopbackV6);
  Table filter = closed_table(Family::kIpv6, rules.intern(space.origin));
  ChainWriter(rules, *filter.find("INPUT"))
      .add(Tests().in(kLoopbackInterface).from(self).to(self), Accept{}, space.origin);
  ChainWriter output(rules, *filter.find("OUTPUT"));
  output.add(Tests().out(kLoopbackInterface).from(self).to(self), Accept{}, space.origin);
  output.add(Tests(), Reject{Reject::kPortUnreachableV6}, space.origin);
  return filter;
}

}  // namespace

RuleSet lower_guest(const Namespace& space) {
  RuleSet rules;
  Table filter = lower_filter(space, rules);
  Table nat = lower_nat(space, rules);
  Table filter_v6 = lower_filter_v6(space, rules);
  rules.tables.push_back(std::move(filter));
  rules.tables.push_back(std::move(nat));
  rules.tables.push_back(std::move(filter_v6));
  return rules;
}

Machine lower_machine(const Policy& policy) {
  Machine machine{lower(policy), {}};
  for (const Namespace& space : policy.namespaces) machine.guests.emplace(space.name, lower_guest(space));
  return machine;
}

}  // namespace tails::policy
