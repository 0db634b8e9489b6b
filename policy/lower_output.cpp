// filter OUTPUT of IPv4. The order of the rules is argued where it matters.
#include <algorithm>
#include <utility>

#include "policy/lowering.h"

namespace tails::policy {
namespace {

using namespace ruleset;

const Jump kBlock{kLogRejectChain};

/// The part of every `out`, `allow` and `closed` that a user may have.
struct NetworkUser {
  Uid uid;
  const std::vector<PortGrant>* out;
  bool lan;
  bool lan_dns;
  bool is_active;
  const Origin* origin;
};

/// Direct users, then Tor.
std::vector<NetworkUser> network_users(const Policy& policy) {
  std::vector<NetworkUser> users;
  for (const Direct& direct : policy.direct) {
    users.push_back({direct.user.uid, &direct.out, direct.lan, direct.lan_dns, direct.is_active, &direct.origin});
  }
  if (policy.tor) {
    const Tor& tor = *policy.tor;
    users.push_back({tor.user.uid, &tor.out, tor.lan, tor.lan_dns, true, &tor.origin});
  }
  return users;
}

/// What needs no grant of its own. First, because nearly every packet ends here.
void add_known_flows(const Policy& policy, ChainWriter& output) {
  // One rule with the state match and, for the answers, one that also asks the direction. TCP past its SYN needs no
  // owner; of other protocols only the answers do, or whoever binds the same source port inherits the flow.
  output.add(Tests().protocol(protocol::kTcp).match(tcp_syn(true)).state(ConnState::kEstablished), Accept{},
             policy.origin);
  ConntrackMatch answer;
  answer.direction = Direction::kReply;
  output.add(Tests().not_protocol(protocol::kTcp).state(ConnState::kEstablished).match(answer), Accept{},
             policy.origin);

  const auto related_icmp = [](const InterfaceName& out) {
    return Tests().out(out).protocol(protocol::kIcmp).state(ConnState::kRelated);
  };
  if (policy.related_icmp_on_loopback) output.add(related_icmp(kLoopbackInterface), Accept{}, policy.states_origin);
  for (const Namespace& space : policy.namespaces) output.add(related_icmp(space.interface), Accept{}, space.origin);
}

/// By loopback. Denials stand before all grants: a denial beats any grant, the broad "any local port" included.
void add_services(const Policy& policy, ChainWriter& output) {
  const auto at = [](const Service& service) { return Tests().out(kLoopbackInterface).to(Prefix::host(service.at)); };
  for (const Service& service : policy.services) {
    if (service.at.family != Family::kIpv4) continue;
    for (const Transport& transport : transports(with_dns_alias(policy, service), {}, Opening::kAny)) {
      for (const User& user : service.deny) {
        output.add(at(service).transport(transport).owner(user.uid), kBlock, service.origin);
      }
    }
  }
  for (const Service& service : policy.services) {
    if (service.at.family != Family::kIpv4 || !service.is_active) continue;
    for (const Transport& transport : transports(with_dns_alias(policy, service), service.from, Opening::kOnly)) {
      for (const User& user : service.allow) {
        output.add(at(service).transport(transport).owner(user.uid).state(grant_states(transport.protocol)), Accept{},
                   service.origin);
      }
    }
  }
  // From here on every rule says "not by loopback"; what is left on loopback falls to the end.
}

/// The chain `lan`: everything about a packet to the LAN is said here, and what it grants is no less than any `out`
/// could grant, so a packet that comes back from it is granted nothing by what follows.
void add_lan(const Policy& policy, RuleSet& rules, Chain& lan) {
  ChainWriter chain(rules, lan);
  const std::vector<NetworkUser> users = network_users(policy);
  // Whom the LAN is denied comes first: it must beat both the exception for port 53 and the grant to everyone.
  for (const NetworkUser& user : users) {
    if (!user.lan) chain.add(Tests().owner(user.uid), kBlock, *user.origin);
  }
  // The exceptions before the ports that are closed, the closed ports before the grant to everyone.
  for (const uint8_t number : {protocol::kTcp, protocol::kUdp}) {
    const bool is_closed =
        std::ranges::any_of(policy.lan.closed, [&](const PortGrant& g) { return g.covers(number, 53); });
    if (!is_closed) continue;
    const std::vector<PortGrant> dns = {{number, PortRange::one(53)}};
    const Transport transport = transports(dns, {}, Opening::kOnly).front();
    for (const NetworkUser& user : users) {
      if (!user.lan_dns || !user.is_active) continue;
      chain.add(Tests().transport(transport).owner(user.uid).state(grant_states(number)), Accept{}, *user.origin);
    }
  }
  for (const Transport& transport : transports(policy.lan.closed, {}, Opening::kAny)) {
    chain.add(Tests().transport(transport), kBlock, policy.lan.closed_origin);
  }
  chain.add(Tests().protocol(protocol::kTcp).match(tcp_syn()).state(ConnState::kNew), Accept{}, policy.lan.origin);
  chain.add(Tests().not_protocol(protocol::kTcp).state(grant_states(0)), Accept{}, policy.lan.origin);
}

/// Not by loopback.
void add_network(const Policy& policy, ChainWriter& output) {
  const Tests outside = Tests().not_out(kLoopbackInterface);
  // Before any grant: the grants below have no destination, and the LAN holds the namespaces' networks.
  output.add(outside.to(kLoopbackNetV4), kBlock, policy.origin);
  for (const Namespace& space : policy.namespaces) output.add(outside.to(space.network), kBlock, space.origin);
  // The LAN before direct users and Tor: its closed ports and its denials bind them too.
  for (const Prefix& network : policy.lan.networks) {
    output.add(outside.to(network), Jump{kLanChain}, policy.lan.origin);
  }
  for (const NetworkUser& user : network_users(policy)) {
    if (!user.is_active) continue;
    for (const Transport& transport : transports(*user.out, {}, Opening::kOnly)) {
      output.add(outside.transport(transport).owner(user.uid).state(grant_states(transport.protocol)), Accept{},
                 *user.origin);
    }
  }
}

}  // namespace

std::optional<PortGrant> dns_alias(const Policy& policy, const Service& service) {
  if (!policy.tor || !policy.tor->redirect_dns || service.at != kLoopbackV4) return std::nullopt;
  const Port dns_port = *policy.tor->dns_port;
  const auto covers = [&](Port port) {
    return std::ranges::any_of(service.ports, [&](const PortGrant& g) { return g.covers(protocol::kUdp, port); });
  };
  const bool has_alias = covers(53);
  if (has_alias == covers(dns_port)) return std::nullopt;
  return PortGrant{protocol::kUdp, PortRange::one(has_alias ? dns_port : 53)};
}

std::vector<PortGrant> with_dns_alias(const Policy& policy, const Service& service) {
  std::vector<PortGrant> ports = service.ports;
  if (const auto alias = dns_alias(policy, service)) ports.push_back(*alias);
  return ports;
}

void add_blocking(ChainWriter& chain, const Tests& tests, Family family, const Blocked& blocked, const Origin& origin) {
  // The limit is on the log alone: blocking is never rationed.
  const Tests logged = blocked.log_limit ? tests.match(*blocked.log_limit) : tests;
  constexpr uint8_t kDebug = 7;
  switch (blocked.log) {
    case Blocked::LogTo::kNone: break;
    case Blocked::LogTo::kKernel: chain.add(logged, Log{kDebug, Log::kUid, blocked.prefix}, origin); break;
    case Blocked::LogTo::kNflog:
      chain.add(logged, Nflog{blocked.nflog_group, 0, std::nullopt, blocked.prefix}, origin);
      break;
  }
  if (blocked.answer == Blocked::Answer::kDrop) {
    chain.add(tests, Drop{}, origin);
  } else {
    chain.add(tests, Reject{family == Family::kIpv4 ? Reject::kPortUnreachableV4 : Reject::kPortUnreachableV6}, origin);
  }
}

void lower_output(const Policy& policy, Layout layout, RuleSet& rules, Table& filter) {
  ChainWriter output(rules, *filter.find("OUTPUT"));
  add_known_flows(policy, output);
  std::vector<Chain> trees;
  if (layout == Layout::kDispatch) {
    trees = add_services_out(policy, Family::kIpv4, Tests().out(kLoopbackInterface), rules, output);
  } else {
    add_services(policy, output);
  }
  add_network(policy, output);
  output.add(Tests(), kBlock, policy.blocked.origin);

  // Only now may chains be added: the writer above points into the table.
  if (!policy.lan.networks.empty()) {
    Chain lan{kLanChain, std::nullopt, {}, {}, kNoOrigin};
    add_lan(policy, rules, lan);
    filter.chains.push_back(std::move(lan));
  }
  Chain log_reject{kLogRejectChain, std::nullopt, {}, {}, kNoOrigin};
  ChainWriter blocking(rules, log_reject);
  add_blocking(blocking, Tests(), Family::kIpv4, policy.blocked, policy.blocked.origin);
  filter.chains.push_back(std::move(log_reject));
  append(filter, std::move(trees));
}

}  // namespace tails::policy
