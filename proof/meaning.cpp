#include "proof/meaning.h"

#include <utility>

namespace tails::proof {

using policy::Direct;
using policy::Namespace;
using policy::PortGrant;
using policy::Service;
using policy::User;

Meaning::Meaning(const policy::Policy& policy, const PacketSpace& space, std::optional<Services> services)
    : policy_(&policy), space_(&space), services_(std::move(services)) {}

// ---- Places ----

Bdd Meaning::to(const IpAddress& address) const {
  if (address.family != space_->family()) return {};
  return space_->inside(space_->layout().destination, Prefix::host(address));
}

Bdd Meaning::to_loopback_net() const {
  return is_v4() ? space_->inside(space_->layout().destination, kLoopbackNetV4) : to(kLoopbackV6);
}

Bdd Meaning::to_namespaces() const {
  Bdd set;
  if (!is_v4()) return set;
  for (const Namespace& guest : policy_->namespaces) set |= space_->inside(space_->layout().destination, guest.network);
  return set;
}

Bdd Meaning::to_lan() const {
  Bdd set;
  if (!is_v4()) return set;
  for (const Prefix& lan : policy_->lan.networks) set |= space_->inside(space_->layout().destination, lan);
  return set - to_namespaces() - to_loopback_net();
}

Bdd Meaning::to_internet() const { return ~(to_lan() | to_namespaces() | to_loopback_net()); }

Bdd Meaning::to_trans_port() const {
  if (!policy_->tor || !policy_->tor->trans_port) return {};
  const PortGrant port{protocol::kTcp, PortRange::one(*policy_->tor->trans_port)};
  return to(kLoopbackV4) & port_grants(std::span(&port, 1));
}

Bdd Meaning::to_automap() const {
  if (!is_v4() || !policy_->tor || !policy_->tor->automap) return {};
  return space_->inside(space_->layout().destination, *policy_->tor->automap);
}

Bdd Meaning::by_loopback_out() const { return space_->out(kLoopbackInterface); }
Bdd Meaning::by_loopback_in() const { return space_->in(kLoopbackInterface); }

Bdd Meaning::to_guest_interfaces() const {
  Bdd set;
  for (const Namespace& guest : policy_->namespaces) set |= space_->out(guest.interface);
  return set;
}

// ---- Who ----

Bdd Meaning::users(std::span<const User> users) const {
  Bdd set;
  for (const User& one : users) set |= user(one);
  return set;
}

Bdd Meaning::from_tor() const { return policy_->tor ? user(policy_->tor->user) : Bdd(); }

Bdd Meaning::from_direct_users() const {
  Bdd set;
  for (const Direct& direct : policy_->direct) {
    if (direct.is_active) set |= user(direct.user);
  }
  return set;
}

Bdd Meaning::from_lan_denied() const {
  Bdd set = policy_->tor && !policy_->tor->lan ? from_tor() : Bdd();
  for (const Direct& direct : policy_->direct) {
    if (!direct.lan) set |= user(direct.user);
  }
  return set;
}

// ---- Grants ----

Bdd Meaning::port_grants(std::span<const PortGrant> grants) const {
  const Layout& l = space_->layout();
  Bdd set;
  for (const PortGrant& grant : grants) {
    Bdd ports = space_->ports(l.destination_port, grant.ports);
    if (!grant.ports.is_any()) ports -= Bdd::literal(l.later_fragment.first);  // a later fragment has no ports
    set |= space_->protocol(grant.protocol) & ports;
  }
  return set;
}

Bdd Meaning::at(const Service& service) const {
  Bdd ports = port_grants(service.ports);
  const bool has_two_names = policy_->tor && policy_->tor->redirect_dns && service.at == kLoopbackV4;
  if (has_two_names) {
    const PortGrant names[] = {{protocol::kUdp, PortRange::one(53)},
                               {protocol::kUdp, PortRange::one(*policy_->tor->dns_port)}};
    if (!(ports & port_grants(names)).is_never()) ports |= port_grants(names);
  }
  return to(service.at) & ports;
}

Bdd Meaning::from_ports(const Service& service) const {
  if (service.from.empty()) return Bdd::always();
  Bdd set;
  for (const PortRange& range : service.from) set |= space_->ports(space_->layout().source_port, range);
  return set - Bdd::literal(space_->layout().later_fragment.first);
}

Bdd Meaning::service_grants() const {
  if (!service_grants_) service_grants_ = find_service_grants();
  return *service_grants_;
}

Bdd Meaning::find_service_grants() const {
  if (services_) return services_->grants;
  Bdd allowed;
  Bdd denied;
  for (const Service& service : policy_->services) {
    if (service.at.family != space_->family()) continue;
    const Bdd place = at(service);
    if (service.is_active) allowed |= users(service.allow) & (place & from_ports(service));
    denied |= users(service.deny) & place;
  }
  return allowed - denied;
}

Bdd Meaning::service_places() const {
  if (services_) return services_->places;
  Bdd places;
  for (const Service& service : policy_->services) {
    if (service.is_active && !service.allow.empty() && service.at.family == space_->family()) {
      places |= at(service) & from_ports(service);
    }
  }
  return places;
}

Bdd Meaning::direct_grants() const {
  Bdd set;
  for (const Direct& direct : policy_->direct) {
    if (direct.is_active) set |= user(direct.user) & port_grants(direct.out);
  }
  if (policy_->tor) set |= from_tor() & port_grants(policy_->tor->out);
  return set;
}

Bdd Meaning::lan_closed() const {
  Bdd lifted = policy_->tor && policy_->tor->lan_dns ? from_tor() : Bdd();
  for (const Direct& direct : policy_->direct) {
    if (direct.is_active && direct.lan_dns) lifted |= user(direct.user);
  }
  const Bdd is_dns =
      space_->equals(space_->layout().destination_port, 53) - Bdd::literal(space_->layout().later_fragment.first);
  return (to_lan() & port_grants(policy_->lan.closed)) - (lifted & is_dns);
}

Bdd Meaning::guest_grants() const {
  Bdd set;
  if (!is_v4()) return set;
  for (const Namespace& guest : policy_->namespaces) {
    const Bdd ends = space_->in(guest.interface) & to(guest.host) &
                     space_->inside(space_->layout().source, Prefix::host(guest.guest));
    set |= ends & port_grants(guest.services);
  }
  return set;
}

// ---- States ----

Bdd Meaning::rest_of_flow() const {
  const Bdd tcp = space_->protocol(protocol::kTcp);
  const Bdd past_syn = tcp - space_->tcp_syn() - Bdd::literal(space_->layout().later_fragment.first);
  return space_->states(ConnState::kEstablished) & (past_syn | (space_->direction(Direction::kReply) - tcp));
}

Bdd Meaning::may_be_granted() const {
  const Bdd tcp = space_->protocol(protocol::kTcp);
  const Bdd opens =
      (space_->tcp_syn() & space_->states(ConnState::kNew)) - Bdd::literal(space_->layout().later_fragment.first);
  return opens | (space_->states(ConnState::kNew | ConnState::kEstablished) - tcp);
}

// ---- The four hooks ----

Bdd Meaning::output_v4() const {
  const Bdd loopback = by_loopback_out();
  Bdd related_to = to_guest_interfaces();
  if (policy_->related_icmp_on_loopback) related_to |= loopback;
  const Bdd related = space_->states(ConnState::kRelated) & space_->icmp() & related_to;

  Bdd network = (direct_grants() | to_lan()) - to_loopback_net() - to_namespaces() - lan_closed();
  network -= to_lan() & from_lan_denied();
  const Bdd granted = may_be_granted() & Bdd::choose(loopback, service_grants(), network);
  return rest_of_flow() | related | granted;
}

Bdd Meaning::forward_v4() const {
  Bdd from_internet_guests;
  Bdd to_internet_guests;
  Bdd from_guests;
  for (const Namespace& guest : policy_->namespaces) {
    from_guests |= space_->in(guest.interface);
    if (!guest.internet) continue;
    from_internet_guests |= space_->in(guest.interface);
    to_internet_guests |= space_->out(guest.interface);
  }
  const Bdd established = space_->states(ConnState::kEstablished);
  const Bdd tcp = space_->protocol(protocol::kTcp);
  const Bdd there = (tcp & established) | ((tcp | space_->protocol(protocol::kUdp)) & may_be_granted());
  return ((from_internet_guests - to_guest_interfaces()) & there) | ((to_internet_guests - from_guests) & established);
}

Bdd Meaning::loopback_pair() const {
  const Prefix one = Prefix::host(kLoopbackV6);
  return space_->inside(space_->layout().destination, one) & space_->inside(space_->layout().source, one);
}

Bdd Meaning::output_v6() const {
  const Bdd icmp_of_flow = space_->icmp() & space_->states(ConnState::kEstablished | ConnState::kRelated);
  const Bdd granted = may_be_granted() & service_grants();
  return by_loopback_out() & loopback_pair() & (rest_of_flow() | icmp_of_flow | granted);
}

Bdd Meaning::input_v6() const {
  const Bdd related = space_->icmp() & space_->states(ConnState::kRelated);
  const Bdd granted = service_places() & may_be_granted() & space_->states(ConnState::kNew);
  return by_loopback_in() & loopback_pair() & (space_->states(ConnState::kEstablished) | related | granted);
}

Bdd Meaning::passes(Hook hook) const {
  std::optional<Bdd>& known = passes_.at(static_cast<size_t>(hook));
  if (!known) known = find_passes(hook);
  return *known;
}

Bdd Meaning::find_passes(Hook hook) const {
  switch (hook) {
    case Hook::kOutput: return is_v4() ? output_v4() : output_v6();
    case Hook::kInput:
      if (!is_v4()) return input_v6();
      return space_->states(ConnState::kEstablished) | by_loopback_in() |
             (guest_grants() & may_be_granted() & space_->states(ConnState::kNew));
    case Hook::kForward: return is_v4() ? forward_v4() : Bdd();
  }
  return {};
}

// ---- NAT before it all ----

std::vector<Meaning::Verdicts::Redirect> Meaning::redirects(Hook hook) const {
  std::vector<Verdicts::Redirect> list;
  if (hook != Hook::kOutput || !is_v4() || !policy_->tor) return list;
  const auto to_port = [](Port port) {
    return NatAction{NatAction::Kind::kDestination, kLoopbackV4, kLoopbackV4, PortRange::one(port)};
  };
  Bdd rest = space_->opens_flow();
  if (policy_->tor->automap) {
    const Bdd set = rest & to_automap() & space_->protocol(protocol::kTcp) & user(*policy_->live);
    list.push_back({to_port(*policy_->tor->trans_port), set});
    rest -= set;
  }
  if (policy_->tor->redirect_dns) {
    const PortGrant dns{protocol::kUdp, PortRange::one(53)};
    const Bdd set = rest & to(kLoopbackV4) & port_grants(std::span(&dns, 1));
    if (!list.empty() && list.front().action == to_port(*policy_->tor->dns_port)) {
      list.front().packets |= set;
    } else {
      list.push_back({to_port(*policy_->tor->dns_port), set});
    }
  }
  return list;
}

Meaning::Verdicts Meaning::verdicts(Hook hook) const {
  Verdicts verdicts;
  verdicts.redirects = redirects(hook);
  const Bdd is_known =
      (space_->has_recorded() & space_->has_flow() & space_->direction(Direction::kOriginal)) - space_->opens_flow();
  /// The packets as they come to the hook that NAT turns into those of `filtered`.
  const auto before_nat = [&](const Bdd& filtered) {
    Bdd set = Bdd::choose(is_known, space_->with_recorded_destination(filtered), filtered);
    for (const Verdicts::Redirect& redirect : verdicts.redirects) {
      const PacketSpace::Destination there{redirect.action.address, redirect.action.ports->first, false};
      set = Bdd::choose(redirect.packets, space_->with_destination(filtered, there), set);
    }
    return set;
  };

  const Bdd domain = space_->domain(hook);
  verdicts.accepted = before_nat(passes(hook)) & domain;
  if (hook == Hook::kOutput) {
    const Bdd blocked = domain - verdicts.accepted;
    if (policy_->blocked.answer == policy::Blocked::Answer::kReject) verdicts.rejected = blocked;
    if (policy_->blocked.log != policy::Blocked::LogTo::kNone) verdicts.logged = blocked;
  }
  if (hook == Hook::kInput && is_v4()) {
    Bdd from_internet_guests;
    for (const Namespace& guest : policy_->namespaces) {
      if (guest.internet) from_internet_guests |= space_->in(guest.interface);
    }
    verdicts.rejected = (before_nat(from_internet_guests & to_namespaces()) & domain) - verdicts.accepted;
  }
  for (Verdicts::Redirect& redirect : verdicts.redirects) redirect.packets &= domain;
  return verdicts;
}

}  // namespace tails::proof
