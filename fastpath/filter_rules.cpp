#include "fastpath/filter_rules.h"

#include <variant>

#include "net/flow_model.h"

namespace tails::fastpath {
namespace {

/// The fields that a flow's first packet must have had.
struct Opening {
  uint8_t protocol = 0;
  uint8_t tcp_flags = 0;
  uint8_t icmp_type = 0;
  uint8_t icmp_code = 0;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
};

Opening opening_of(const FlowKey& key, Side opener) {
  Opening packet;
  const FlowClass flow_class = key.flow_class();
  switch (flow_class) {
    case FlowClass::kTcp: packet.protocol = protocol::kTcp; break;
    case FlowClass::kUdp: packet.protocol = protocol::kUdp; break;
    case FlowClass::kUdplite: packet.protocol = protocol::kUdplite; break;
    case FlowClass::kSctp: packet.protocol = protocol::kSctp; break;
    case FlowClass::kDccp: packet.protocol = protocol::kDccp; break;
    case FlowClass::kIcmp:
      packet.protocol = protocol::kIcmp;
      packet.icmp_type = key.outside_port() & 0x7F;
      packet.icmp_code = static_cast<uint8_t>(key.outside_port() >> 8);
      return packet;
    case FlowClass::kOther: packet.protocol = static_cast<uint8_t>(key.inside_port()); return packet;
  }
  packet.tcp_flags = flow_class == FlowClass::kTcp ? tcp_flag::kSyn : uint8_t{0};
  packet.source_port = opener == Side::kInside ? key.inside_port() : key.outside_port();
  packet.destination_port = opener == Side::kInside ? key.outside_port() : key.inside_port();
  return packet;
}

}  // namespace

Result<std::shared_ptr<const FilterRules>> FilterRules::make(const ruleset::RuleSet& rules, const WireView& view,
                                                             const AclMaker& acl,
                                                             std::optional<Classifier::Structure> structure) {
  auto wire = compile(rules, view);
  if (!wire) return tl::unexpected(wire.error());
  const std::shared_ptr<FilterRules> made(new FilterRules(*std::move(wire)));
  for (const Side from : {Side::kInside, Side::kOutside}) {
    Direction& direction = made->directions_[static_cast<size_t>(from)];
    const Way& way = made->wire_.way(from);
    ParseTables& tables = direction.tables;
    for (uint8_t tag = 0; tag < OwnerTag::kCount; ++tag) {
      tables.owner_offset[tag] =
          static_cast<uint16_t>(way.heads.owner_class[tag] * way.heads.kind_classes * Heads::kStates);
      tables.is_known[tag] = made->knows(tag) ? 255 : 0;
    }
    direction.heads = way.heads.entries;
    for (unsigned flags = 0; flags < 256; ++flags) {
      const auto byte = static_cast<uint8_t>(flags);
      tables.event[flags] = static_cast<uint8_t>(flow_model::event_of(protocol::kTcp, byte));
      tables.kind[flags] = way.heads.kind_class[made->wire_.kinds.kind(protocol::kTcp, byte, 0, 0)];
    }
    tables.udp_kind = way.heads.kind_class[made->wire_.kinds.kind(protocol::kUdp, 0, 0, 0)];
    if (structure) direction.classifier = make_classifier(way, *structure, acl);
    if (!direction.classifier) direction.classifier = make_classifier(way, acl);
  }
  for (size_t id = 0; id < made->wire_.verdicts.size(); ++id) {
    made->verdict_kind_.push_back(static_cast<uint8_t>(made->wire_.verdicts[static_cast<VerdictId>(id)].verdict));
  }
  for (const OwnerTag& tag : view.owners) {
    if (!std::holds_alternative<ForwardedGuest>(tag.owner)) continue;
    made->answered_offset_[tag.tag] = made->direction(Side::kOutside).tables.owner_offset[tag.tag];
  }
  return std::shared_ptr<const FilterRules>(made);
}

uint16_t FilterRules::base(Side from, uint8_t owner, uint8_t protocol, uint8_t tcp_flags, uint8_t icmp_type,
                           uint8_t icmp_code) const {
  const uint8_t kind = wire_.kinds.kind(protocol, tcp_flags, icmp_type, icmp_code);
  return static_cast<uint16_t>(direction(from).tables.owner_offset[owner] +
                               wire_.way(from).heads.kind_class[kind] * Heads::kStates);
}

bool FilterRules::would_open(const FlowEntry& flow) const {
  if (!knows(flow.owner())) return false;
  const FlowKey key = flow.key();
  const Side opener = flow.opener();
  const Opening packet = opening_of(key, opener);
  const Direction& d = direction(opener);
  const uint8_t owner = opener == Side::kInside ? flow.owner() : uint8_t{0};
  const size_t index = base(opener, owner, packet.protocol, packet.tcp_flags, packet.icmp_type, packet.icmp_code);
  uint16_t verdict = d.heads[index + static_cast<size_t>(StateIndex::kNew)];
  if ((verdict & Heads::kColumn) != 0) {
    Questions question;
    question.count = 1;
    question.source[0] = opener == Side::kInside ? key.inside() : key.outside();
    question.destination[0] = opener == Side::kInside ? key.outside() : key.inside();
    question.source_port[0] = packet.source_port;
    question.port[0] = packet.destination_port;
    question.column[0] = static_cast<uint16_t>(verdict & ~Heads::kColumn);
    d.classifier->classify(question, &verdict);
  }
  return verdict_kind_[verdict] == static_cast<uint8_t>(Verdict::kAccept);
}

}  // namespace tails::fastpath
