#include "proof/rule_predicates.h"

#include <variant>

namespace tails::proof {
namespace {

using namespace ruleset;

Bdd inverted_if(bool inverted, const Bdd& set) { return inverted ? ~set : set; }

Bdd header_predicate(const PacketSpace& space, Hook hook, const HeaderTest& test) {
  const Layout& l = space.layout();
  const auto address = [&](const Field& field, const AddressTest& a) {
    // The family of an unused test need not be set.
    const Bdd equal = a.mask.high == 0 && a.mask.low == 0 ? Bdd::constant(a.address.high == 0 && a.address.low == 0)
                                                          : space.address(field, a.address, a.mask);
    return inverted_if(a.inverted, equal);
  };
  Bdd set = address(l.source, test.source);
  set = address(l.destination, test.destination) & set;
  if (test.protocol != 0) set = inverted_if(test.protocol_inverted, space.protocol(test.protocol)) & set;
  set = space.out(test.out, hook) & (space.in(test.in, hook) & set);
  switch (test.fragment) {
    case HeaderTest::Fragment::kAny: break;
    case HeaderTest::Fragment::kLater: set &= Bdd::literal(l.later_fragment.first); break;
    case HeaderTest::Fragment::kNotLater: set &= Bdd::literal(l.later_fragment.first, false); break;
  }
  return set;
}

struct MatchPredicate {
  const PacketSpace& space;
  const Unknowns& unknowns;
  const Match& match;
  const Bdd& has_ports;
  const Bdd& has_flow;
  const Bdd& not_fragment;
  const Layout& l = space.layout();

  [[nodiscard]] Bdd unknown() const { return Bdd::literal(unknowns.of(match)); }
  [[nodiscard]] Bdd ports(const Field& field, const PortRange& range, bool inverted) const {
    return inverted_if(inverted, space.ports(field, range));
  }
  [[nodiscard]] Bdd marked(const Field& field, uint32_t value, uint32_t mask, bool inverted) const {
    return inverted_if(inverted, space.masked(field, value, mask));
  }

  Bdd operator()(const TcpMatch& m) const {
    Bdd set = ports(l.source_port, m.source, m.source_inverted);
    set = inverted_if(m.flags_inverted, space.masked(l.tcp_flags, m.flag_compare, m.flag_mask)) & set;
    set = ports(l.destination_port, m.destination, m.destination_inverted) & set;
    if (m.option != 0) set &= unknown();
    return space.protocol(protocol::kTcp) & set & not_fragment;
  }
  Bdd operator()(const UdpMatch& m) const {
    const Bdd set = ports(l.destination_port, m.destination, m.destination_inverted) &
                    ports(l.source_port, m.source, m.source_inverted);
    return space.protocol(protocol::kUdp) & set & not_fragment;
  }
  Bdd operator()(const IcmpMatch& m) const {
    const Bdd equal = m.type ? space.equals(l.icmp_type, *m.type) & space.between(l.icmp_code, m.code_min, m.code_max)
                             : Bdd::always();
    return space.icmp() & inverted_if(m.inverted, equal) & not_fragment;
  }
  Bdd operator()(const MultiportMatch& m) const {
    using Side = MultiportMatch::Side;
    Bdd set;
    for (const PortRange& range : m.ports) {
      if (m.side != Side::kSource) set |= space.ports(l.destination_port, range);
      if (m.side != Side::kDestination) set |= space.ports(l.source_port, range);
    }
    return has_ports & inverted_if(m.inverted, set) & not_fragment;
  }
  Bdd operator()(const OwnerMatch& m) const {
    // xt_owner.c: without a socket, true exactly when every test that is made is inverted.
    const bool all_inverted = !m.supplementary_groups && (!m.uid || m.uid->inverted) && (!m.gid || m.gid->inverted) &&
                              (!m.socket_exists || !*m.socket_exists);
    Bdd owned = Bdd::constant(!m.socket_exists || *m.socket_exists);
    if (m.gid) {
      Bdd in_group = space.between(l.gid, m.gid->first, m.gid->last);
      if (m.supplementary_groups) in_group |= unknown();
      owned &= inverted_if(m.gid->inverted, in_group);
    }
    if (m.uid) owned = inverted_if(m.uid->inverted, space.between(l.uid, m.uid->first, m.uid->last)) & owned;
    return Bdd::choose(space.has_user(), owned, Bdd::constant(all_inverted));
  }
  Bdd operator()(const StateMatch& m) const { return inverted_if(m.inverted, space.states(m.states)); }
  Bdd operator()(const ConntrackMatch& m) const {
    constexpr uint64_t kSourceNat = 1U << 4, kDestinationNat = 1U << 5;  // IPS_SRC_NAT, IPS_DST_NAT
    Bdd state = Bdd::always();
    if (m.state_mask) {
      state = space.states(StateSet::from_bits(*m.state_mask));
      const uint64_t nat = ((*m.state_mask & ConntrackMatch::kSnat) != 0 ? kSourceNat : 0) |
                           ((*m.state_mask & ConntrackMatch::kDnat) != 0 ? kDestinationNat : 0);
      if (nat != 0) state |= has_flow & space.any_of(l.status, nat);
      state = inverted_if(m.state_inverted, state);
    }
    // conntrack_mt: a packet without a flow stops here, whatever else is tested.
    Bdd rest = Bdd::always();
    if (m.status_mask) rest = inverted_if(m.status_inverted, space.any_of(l.status, *m.status_mask));
    if (m.direction) rest = space.direction(*m.direction) & rest;
    return state & Bdd::choose(has_flow, rest, Bdd::constant(m.state_mask.has_value()));
  }
  Bdd operator()(const LimitMatch&) const { return unknown(); }
  Bdd operator()(const MarkMatch& m) const { return marked(l.mark, m.value, m.mask, m.inverted); }
  Bdd operator()(const ConnmarkMatch& m) const { return has_flow & marked(l.connmark, m.value, m.mask, m.inverted); }
  Bdd operator()(const AddrtypeMatch& m) const {
    if (m.limit_iface_in || m.limit_iface_out) return unknown();
    const auto test = [&](const Field& field, uint16_t types, bool inverted) {
      if (types == 0) return Bdd::always();
      Bdd set;
      for (unsigned i = 0; i <= 8; ++i) {  // no packet is of the kinds above (NAT, XRESOLVE)
        if ((types >> i & 1) != 0) set |= space.type(field, static_cast<AddressType>(1U << i));
      }
      return inverted_if(inverted, set);
    };
    return test(l.destination_type, m.destination_types, m.destination_inverted) &
           test(l.source_type, m.source_types, m.source_inverted);
  }
  Bdd operator()(const DscpMatch& m) const { return inverted_if(m.inverted, space.equals(l.dscp, m.dscp)); }
  Bdd operator()(const CommentMatch&) const { return Bdd::always(); }
  Bdd operator()(const OpaqueMatch&) const { return unknown(); }
};

}  // namespace

RulePredicates::RulePredicates(const PacketSpace& space, const Unknowns& unknowns, Hook hook)
    : space_(&space),
      unknowns_(&unknowns),
      hook_(hook),
      has_flow_(space.has_flow()),
      not_fragment_(Bdd::literal(space.layout().later_fragment.first, false)) {
  for (const uint8_t number : {protocol::kTcp, protocol::kUdp, protocol::kUdplite, protocol::kDccp, protocol::kSctp}) {
    has_ports_ |= space.protocol(number);
  }
}

Bdd RulePredicates::of(const Rule& rule) const {
  Bdd set = header_predicate(*space_, hook_, rule.header);
  for (const Match& match : rule.matches) {
    set &= std::visit(MatchPredicate{*space_, *unknowns_, match, has_ports_, has_flow_, not_fragment_}, match);
  }
  return set;
}

}  // namespace tails::proof
