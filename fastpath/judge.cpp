#include "fastpath/judge.h"

#include <algorithm>
#include <variant>

namespace tails::fastpath {
namespace {

Judge::Ruling ruling(Outcome outcome) { return {outcome, Verdict::kDrop, ruleset::kNoOrigin, std::nullopt, false}; }

Packet packet_of(const FlowTuple& tuple, uint8_t tcp_flags, ConnState state, Direction direction) {
  Packet packet;
  packet.protocol = tuple.protocol;
  packet.source = tuple.source.address;
  packet.destination = tuple.destination.address;
  packet.source_port = tuple.source.port;
  packet.destination_port = tuple.destination.port;
  packet.tcp_flags = tcp_flags;
  packet.icmp_type = tuple.icmp_type;
  packet.icmp_code = tuple.icmp_code;
  packet.state = state;
  packet.direction = direction;
  return packet;
}

}  // namespace

bool Judge::is_known(uint8_t tag) const {
  return tag == 0 || std::ranges::find(view_.owners, tag, &OwnerTag::tag) != view_.owners.end();
}

bool Judge::is_guest(uint8_t tag) const {
  const auto at = std::ranges::find(view_.owners, tag, &OwnerTag::tag);
  return at != view_.owners.end() && std::holds_alternative<ForwardedGuest>(at->owner);
}

Judge::Ruling Judge::judge(Side from, wire::Bytes frame, uint64_t now_seconds, const wire::ReadOptions& options) {
  const auto ethernet = wire::read_ethernet(frame);
  if (!ethernet) return ruling(Outcome::kShortFrame);
  uint8_t tag = 0;
  if (ethernet->vlan) {
    if (view_.owner_source != OwnerSource::kVlan || from == Side::kOutside) return ruling(Outcome::kVlan);
    if (*ethernet->vlan >= OwnerTag::kCount) return ruling(Outcome::kUnknownTag);
    tag = static_cast<uint8_t>(*ethernet->vlan);
  }
  const wire::Bytes inside = frame.subspan(ethernet->header_bytes);
  switch (ethernet->type) {
    case wire::kTypeArp:
      return ruling(view_.pass_arp && wire::is_plausible_arp(*ethernet, inside) ? Outcome::kArp : Outcome::kBadArp);
    case wire::kTypeIpv4: {
      wire::ReadOptions inner = options;
      inner.wire_bytes = options.wire_bytes < ethernet->header_bytes ? 0 : options.wire_bytes - ethernet->header_bytes;
      return judge_ip(from, inside, tag, now_seconds, inner);
    }
    case wire::kTypeIpv6: return ruling(Outcome::kIpv6);
    case wire::kTypeVlan: return ruling(Outcome::kVlan);  // a second tag
    default: return ruling(Outcome::kNotIp);
  }
}

Judge::Ruling Judge::judge_ip(Side from, wire::Bytes packet, uint8_t tag, uint64_t now_seconds,
                              const wire::ReadOptions& options) {
  const wire::Ipv4 ip = wire::read_ipv4(packet, options);
  if (ip.fault == wire::Fault::kCut) {
    Ruling cut = ruling(Outcome::kBlocked);
    cut.is_cut = true;
    return cut;
  }
  if (ip.fault != wire::Fault::kNone) return ruling(outcome_of(ip.fault));
  if (view_.pass_dhcp && is_dhcp(from, ip)) return ruling(Outcome::kDhcp);
  if (view_.owner_source == OwnerSource::kDscp && from == Side::kInside) tag = ip.dscp();
  if (!is_known(tag)) return ruling(Outcome::kUnknownTag);

  const FlowTuple tuple = ip.tuple();
  const uint8_t flags_or_type = ip.protocol == protocol::kTcp ? ip.tcp_flags : ip.icmp_type;
  const auto sight = book_.look(from, tuple, flow_model::event_of(ip.protocol, flags_or_type), now_seconds);
  const bool is_original = sight.direction == Direction::kOriginal;
  if (from == Side::kInside && ip.protocol != protocol::kTcp && sight.owner && is_original && *sight.owner != tag) {
    return ruling(Outcome::kOwnerChanged);
  }
  // An answer to a guest's flow is forwarded to the guest.
  const uint8_t owner = from == Side::kInside                                   ? tag
                        : !is_original && sight.owner && is_guest(*sight.owner) ? *sight.owner
                                                                                : uint8_t{0};
  Ruling result;
  result.packet =
      as_machine_sees(view_, from, owner, packet_of(tuple, ip.tcp_flags, sight.step.state, sight.direction));
  const ruleset::Evaluation evaluation = evaluator_.evaluate(*result.packet);
  result.verdict = evaluation.verdict;
  result.origin = evaluation.decided_by.origin();
  result.outcome = evaluation.verdict == Verdict::kAccept ? Outcome::kAccepted : Outcome::kBlocked;
  if (result.outcome == Outcome::kAccepted &&
      (kLoopbackNetV4.contains(ip.source) || kLoopbackNetV4.contains(ip.destination))) {
    result.outcome = Outcome::kLoopbackAddress;
  }
  if (result.outcome == Outcome::kAccepted) book_.pass(from, tuple, sight, tag, now_seconds);
  return result;
}

void Judge::set_rules(const ruleset::RuleSet& rules, WireView view) {
  evaluator_ = ruleset::Evaluator(rules);
  view_ = std::move(view);
  book_.forget_if([&](Side opener, const FlowTuple& tuple, uint8_t owner) {
    const Packet first = packet_of(tuple, tcp_flag::kSyn, ConnState::kNew, Direction::kOriginal);
    return !is_known(owner) ||
           evaluator_.evaluate(as_machine_sees(view_, opener, owner, first)).verdict != Verdict::kAccept;
  });
}

}  // namespace tails::fastpath
