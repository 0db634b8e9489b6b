#include "policy/lower.h"

#include <algorithm>
#include <utility>

#include "policy/lowering.h"

namespace tails::policy {
namespace {

using namespace ruleset;

void lower_input(const Policy& policy, RuleSet& rules, Table& filter) {
  ChainWriter chain(rules, *filter.find("INPUT"));
  chain.add(Tests().state(ConnState::kEstablished), Accept{}, policy.origin);
  // Any state: what came in by loopback was judged when it left.
  chain.add(Tests().in(kLoopbackInterface), Accept{}, policy.origin);

  for (const Namespace& space : policy.namespaces) {
    const Tests from_guest = Tests().in(space.interface).from(Prefix::host(space.guest)).to(Prefix::host(space.host));
    for (const Transport& transport : transports(space.services, {}, Opening::kOnly)) {
      chain.add(from_guest.transport(transport).state(ConnState::kNew), Accept{}, space.origin);
    }
  }
  // Behind the services: a guest with Internet access may have services of its own. Rejected and not dropped, so that
  // a browser that strays there does not hang.
  for (const Namespace& space : policy.namespaces) {
    if (!space.internet) continue;
    for (const Namespace& other : policy.namespaces) {
      chain.add(Tests().in(space.interface).to(other.network), Reject{Reject::kPortUnreachableV4}, space.origin);
    }
  }
}

void lower_forward(const Policy& policy, RuleSet& rules, Table& filter) {
  const auto has_internet = [](const Namespace& space) { return space.internet; };
  if (std::ranges::none_of(policy.namespaces, has_internet)) return;

  ChainWriter chain(rules, *filter.find("FORWARD"));
  // First, nothing passes between namespaces; the grants below name only one side.
  for (const Namespace& space : policy.namespaces) {
    if (!space.internet) {
      chain.add(Tests().in(space.interface), Drop{}, space.origin);
      chain.add(Tests().out(space.interface), Drop{}, space.origin);
      continue;
    }
    for (const Namespace& other : policy.namespaces) {
      if (other.internet) chain.add(Tests().in(space.interface).out(other.interface), Drop{}, space.origin);
    }
  }
  for (const Namespace& space : policy.namespaces) {
    if (!space.internet) continue;
    const Tests from_guest = Tests().in(space.interface);
    const Tests tcp = from_guest.protocol(protocol::kTcp);
    chain.add(tcp.state(ConnState::kEstablished), Accept{}, space.origin);
    chain.add(tcp.match(tcp_syn()).state(ConnState::kNew), Accept{}, space.origin);
    chain.add(from_guest.protocol(protocol::kUdp).state(grant_states(protocol::kUdp)), Accept{}, space.origin);
    chain.add(Tests().out(space.interface).state(ConnState::kEstablished), Accept{}, space.origin);
  }
}

Table lower_nat(const Policy& policy, RuleSet& rules) {
  Table nat = Table::open(Family::kIpv4, TableName::kNat);
  ChainWriter output(rules, *nat.find("OUTPUT"));
  if (policy.tor && policy.tor->automap) {
    // The owner test: an entry for trans_port may let others reach Tor's TransPort, but not by an automap address.
    output.add(Tests().to(*policy.tor->automap).protocol(protocol::kTcp).owner(policy.live->uid),
               Redirect{PortRange::one(*policy.tor->trans_port)}, policy.tor->automap_origin);
  }
  if (policy.tor && policy.tor->redirect_dns) {
    const std::vector<PortGrant> dns = {{protocol::kUdp, PortRange::one(53)}};
    output.add(Tests().to(Prefix::host(kLoopbackV4)).transport(transports(dns, {}, Opening::kAny).front()),
               Redirect{PortRange::one(*policy.tor->dns_port)}, policy.tor->redirect_dns_origin);
  }
  ChainWriter postrouting(rules, *nat.find("POSTROUTING"));
  for (const Namespace& space : policy.namespaces) {
    if (space.internet) postrouting.add(Tests().from(space.network), Masquerade{}, space.origin);
  }
  return nat;
}

}  // namespace

Table closed_table(Family family, OriginIndex origin) {
  Table table = Table::open(family, TableName::kFilter);
  for (Chain& chain : table.chains) {
    chain.policy = ChainPolicy::kDrop;
    chain.origin = origin;
  }
  return table;
}

namespace {

/// User and port pairs of all services.
size_t cell_count(const Policy& policy) {
  size_t count = 0;
  for (const Service& service : policy.services) {
    count += (service.allow.size() + service.deny.size()) * service.ports.size();
  }
  return count;
}

size_t rule_count(const RuleSet& rules) {
  size_t count = 0;
  for (const Table& table : rules.tables) count += table.rule_count();
  return count;
}

}  // namespace

RuleSet lower(const Policy& policy, Layout layout) {
  if (layout == Layout::kBySize) {
    // One rule carries at most fifteen cells (multiport), so very many need not be written out to be counted.
    if (cell_count(policy) > kPlainLimit * MultiportMatch::kMaxPlaces) return lower(policy, Layout::kDispatch);
    RuleSet plain = lower(policy, Layout::kPlain);
    return rule_count(plain) <= kPlainLimit ? plain : lower(policy, Layout::kDispatch);
  }
  RuleSet rules;
  constexpr size_t kOthers = 256;
  rules.origins.reserve(policy.services.size() + kOthers);
  const OriginIndex everything_else = rules.intern(policy.origin);
  Table filter = closed_table(Family::kIpv4, everything_else);
  lower_input(policy, rules, filter);
  lower_forward(policy, rules, filter);
  lower_output(policy, layout, rules, filter);
  Table filter_v6 = closed_table(Family::kIpv6, everything_else);
  lower_ipv6(policy, layout, rules, filter_v6);
  Table nat = lower_nat(policy, rules);
  rules.tables.push_back(std::move(filter));
  rules.tables.push_back(std::move(nat));
  rules.tables.push_back(std::move(filter_v6));
  return rules;
}

RuleSet lockdown() {
  RuleSet rules;
  const Origin origin{"lockdown", 0, "lockdown"};
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    Table filter = closed_table(family, rules.intern(origin));
    ChainWriter(rules, *filter.find("INPUT"))
        .add(Tests().in(kLoopbackInterface).state(ConnState::kEstablished), Accept{}, origin);
    ChainWriter(rules, *filter.find("OUTPUT"))
        .add(Tests().out(kLoopbackInterface).state(ConnState::kEstablished), Accept{}, origin);
    rules.tables.push_back(std::move(filter));
    if (family == Family::kIpv4) rules.tables.push_back(Table::open(family, TableName::kNat));
  }
  return rules;
}

}  // namespace tails::policy
