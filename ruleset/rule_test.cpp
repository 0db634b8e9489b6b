#include "ruleset/rule_test.h"

#include <algorithm>
#include <variant>

namespace tails::ruleset {
namespace {

constexpr Tristate known(bool value) { return value ? Tristate::kYes : Tristate::kNo; }

bool has_ports(uint8_t number) {
  return number == protocol::kTcp || number == protocol::kUdp || number == protocol::kUdplite ||
         number == protocol::kSctp || number == protocol::kDccp;
}

Tristate test_header(const HeaderTest& test, const Traveller& traveller) {
  const Packet& packet = traveller.packet;
  const bool interfaces_and_protocol =
      test.in.matches(packet.in) && test.out.matches(packet.out) &&
      (test.protocol == 0 || (test.protocol == packet.protocol) != test.protocol_inverted) &&
      (test.fragment == HeaderTest::Fragment::kAny ||
       (test.fragment == HeaderTest::Fragment::kLater) == packet.later_fragment);
  if (!interfaces_and_protocol) return Tristate::kNo;
  if (!traveller.is_header_known && !(test.source.is_any() && test.destination.is_any())) return Tristate::kUnknown;
  return known(test.source.matches(packet.source) && test.destination.matches(packet.destination));
}

/// Answers one extension match for one packet.
struct Matcher {
  const Traveller& traveller;

  [[nodiscard]] const Packet& packet() const { return traveller.packet; }

  /// Wraps what depends on the packet's own bytes.
  [[nodiscard]] Tristate from_header(bool value) const {
    return traveller.is_header_known ? known(value) : Tristate::kUnknown;
  }

  Tristate operator()(const TcpMatch& m) const {
    const Packet& p = packet();
    if (p.protocol != protocol::kTcp || p.later_fragment) return Tristate::kNo;
    const bool rest = m.source.contains(p.source_port) != m.source_inverted &&
                      m.destination.contains(p.destination_port) != m.destination_inverted &&
                      ((p.tcp_flags & m.flag_mask) == m.flag_compare) != m.flags_inverted;
    const Tristate answer = from_header(rest);
    return answer == Tristate::kYes && m.option != 0 ? Tristate::kUnknown : answer;
  }

  Tristate operator()(const UdpMatch& m) const {
    const Packet& p = packet();
    if (p.protocol != protocol::kUdp || p.later_fragment) return Tristate::kNo;
    return from_header(m.source.contains(p.source_port) != m.source_inverted &&
                       m.destination.contains(p.destination_port) != m.destination_inverted);
  }

  Tristate operator()(const IcmpMatch& m) const {
    const Packet& p = packet();
    if (!p.is_icmp() || p.later_fragment) return Tristate::kNo;
    const bool equal = !m.type || (p.icmp_type == *m.type && m.code_min <= p.icmp_code && p.icmp_code <= m.code_max);
    return from_header(equal != m.inverted);
  }

  Tristate operator()(const MultiportMatch& m) const {
    const Packet& p = packet();
    if (!has_ports(p.protocol) || p.later_fragment) return Tristate::kNo;
    const bool equal = std::ranges::any_of(m.ports, [&](const PortRange& range) {
      const bool source = range.contains(p.source_port);
      const bool destination = range.contains(p.destination_port);
      switch (m.side) {
        case MultiportMatch::Side::kSource: return source;
        case MultiportMatch::Side::kDestination: return destination;
        case MultiportMatch::Side::kEither: return source || destination;
      }
      return false;
    });
    return from_header(equal != m.inverted);
  }

  Tristate operator()(const OwnerMatch& m) const {
    const Packet& p = packet();
    if (!p.uid) {
      // xt_owner.c: without a socket, true exactly when every test that is made is inverted.
      return known(!m.supplementary_groups && (!m.uid || m.uid->inverted) && (!m.gid || m.gid->inverted) &&
                   (!m.socket_exists || !*m.socket_exists));
    }
    if (m.socket_exists && !*m.socket_exists) return Tristate::kNo;
    if (m.uid && !m.uid->matches(p.uid->value)) return Tristate::kNo;
    if (!m.gid) return Tristate::kYes;
    const bool in_range = m.gid->first <= p.gid.value_or(Gid{}).value && p.gid.value_or(Gid{}).value <= m.gid->last;
    if (m.supplementary_groups && !in_range) return Tristate::kUnknown;
    return known(in_range != m.gid->inverted);
  }

  Tristate operator()(const StateMatch& m) const { return known(m.states.contains(packet().state) != m.inverted); }

  Tristate operator()(const ConntrackMatch& m) const {
    const Packet& p = packet();
    if (m.state_mask) {
      auto bits = static_cast<uint32_t>(p.state);
      constexpr uint32_t kSourceNat = 1U << 4;       // IPS_SRC_NAT
      constexpr uint32_t kDestinationNat = 1U << 5;  // IPS_DST_NAT
      if (has_flow(p) && (p.status & kSourceNat) != 0) bits |= ConntrackMatch::kSnat;
      if (has_flow(p) && (p.status & kDestinationNat) != 0) bits |= ConntrackMatch::kDnat;
      if (((*m.state_mask & bits) != 0) == m.state_inverted) return Tristate::kNo;
    }
    // conntrack_mt: a packet without a flow stops here, whatever else is tested.
    if (!has_flow(p)) return known(m.state_mask.has_value());
    if (m.direction && *m.direction != p.direction) return Tristate::kNo;
    if (m.status_mask && ((*m.status_mask & p.status) != 0) == m.status_inverted) return Tristate::kNo;
    return Tristate::kYes;
  }

  Tristate operator()(const LimitMatch&) const { return Tristate::kUnknown; }

  Tristate operator()(const MarkMatch& m) const {
    if (!traveller.is_mark_known) return Tristate::kUnknown;
    return known(((packet().mark.value & m.mask) == m.value) != m.inverted);
  }

  Tristate operator()(const ConnmarkMatch& m) const {
    if (!has_flow(packet())) return Tristate::kNo;
    if (!traveller.is_connmark_known) return Tristate::kUnknown;
    return known(((packet().connmark.value & m.mask) == m.value) != m.inverted);
  }

  Tristate operator()(const AddrtypeMatch& m) const {
    if (m.limit_iface_in || m.limit_iface_out || !traveller.is_header_known) return Tristate::kUnknown;
    const auto test = [](uint16_t types, bool inverted, AddressType type) {
      return types == 0 || ((types & static_cast<uint16_t>(type)) != 0) != inverted;
    };
    return known(test(m.source_types, m.source_inverted, packet().source_type) &&
                 test(m.destination_types, m.destination_inverted, packet().destination_type));
  }

  Tristate operator()(const DscpMatch& m) const {
    if (!traveller.is_dscp_known || !traveller.is_header_known) return Tristate::kUnknown;
    return known((packet().dscp == m.dscp) != m.inverted);
  }

  Tristate operator()(const CommentMatch&) const { return Tristate::kYes; }
  Tristate operator()(const OpaqueMatch&) const { return Tristate::kUnknown; }
};

}  // namespace

bool has_flow(const Packet& packet) {
  return packet.state != ConnState::kInvalid && packet.state != ConnState::kUntracked;
}

Tristate test(const Rule& rule, const Traveller& traveller) {
  Tristate all = test_header(rule.header, traveller);
  for (const Match& match : rule.matches) {
    if (all == Tristate::kNo) break;
    const Tristate one = std::visit(Matcher{traveller}, match);
    if (one != Tristate::kYes) all = one;
  }
  return all;
}

}  // namespace tails::ruleset
