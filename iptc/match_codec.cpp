#include "iptc/match_codec.h"

#include <algorithm>
#include <array>
#include <optional>

namespace tails::iptc {
namespace {

namespace p = kernel::payload;
using kernel::load;
using kernel::load_text;
using kernel::store;
using kernel::store_text;
using Bytes = std::span<const std::byte>;
using Room = std::span<std::byte>;

// linux/netfilter/xt_conntrack.h
constexpr uint16_t kCtState = 1 << 0;
constexpr uint16_t kCtStatus = 1 << 6;
constexpr uint16_t kCtDirection = 1 << 12;
constexpr uint16_t kCtStateAlias = 1 << 13;  ///< For the listing tool only: print "-m state".
// linux/netfilter/xt_state.h: UNTRACKED stands elsewhere than in conntrack's mask.
constexpr uint32_t kOldUntracked = 64;
constexpr uint16_t kPlainStates = 1 | 2 | 4 | 8;
constexpr auto kUntracked = static_cast<uint16_t>(ConnState::kUntracked);
constexpr uint16_t kAllStates = kPlainStates | kUntracked;
// linux/netfilter/xt_owner.h
constexpr uint8_t kOwnerUid = 1, kOwnerGid = 2, kOwnerSocket = 4, kOwnerGroups = 8;
// linux/netfilter/xt_addrtype.h
constexpr uint32_t kAddrtypeInvertSource = 1, kAddrtypeInvertDestination = 2, kAddrtypeIn = 4, kAddrtypeOut = 8;
/// xt_icmp: this type is any type, in IPv4 only.
constexpr uint8_t kAnyIcmpType = 0xFF;

bool fits_a_byte(std::optional<uint16_t> mask) { return mask.value_or(0) <= 0xFF; }

bool has_only_singles(const std::vector<PortRange>& ports) {
  return std::ranges::all_of(ports, [](const PortRange& range) { return range.first == range.last; });
}

size_t places(const std::vector<PortRange>& ports) {
  size_t count = 0;
  for (const PortRange& range : ports) count += range.first == range.last ? 1 : 2;
  return count;
}

struct FormChooser {
  Family family;

  Forms operator()(const ruleset::TcpMatch&) const { return {ExtensionId::kTcp0}; }
  Forms operator()(const ruleset::UdpMatch&) const { return {ExtensionId::kUdp0}; }
  Forms operator()(const ruleset::IcmpMatch& m) const {
    if (family == Family::kIpv4) return {ExtensionId::kIcmp0};
    return m.type ? Forms{ExtensionId::kIcmp6Rev0} : Forms{};
  }
  Forms operator()(const ruleset::MultiportMatch& m) const {
    if (m.ports.empty() || places(m.ports) > ruleset::MultiportMatch::kMaxPlaces) return {};
    if (m.inverted || !has_only_singles(m.ports)) return {ExtensionId::kMultiport1};
    return {ExtensionId::kMultiport1, ExtensionId::kMultiport0};
  }
  Forms operator()(const ruleset::OwnerMatch&) const { return {ExtensionId::kOwner1}; }
  Forms operator()(const ruleset::StateMatch& m) const {
    if ((m.states.bits() & ~kAllStates) != 0) return {};
    Forms forms{ExtensionId::kConntrack3, ExtensionId::kConntrack2};
    if (fits_a_byte(m.states.bits())) forms.add(ExtensionId::kConntrack1);
    forms.add(ExtensionId::kState0);
    return forms;
  }
  Forms operator()(const ruleset::ConntrackMatch& m) const {
    // In the revisions that came before, a test of the direction means its opposite: net/netfilter/xt_conntrack.c of
    // 2.6.32.67 (where revision 2 is the last) has the sign wrong, that of 3.2.0 has not.
    if (m.direction) return {ExtensionId::kConntrack3};
    Forms forms{ExtensionId::kConntrack3, ExtensionId::kConntrack2};
    if (fits_a_byte(m.state_mask) && fits_a_byte(m.status_mask)) forms.add(ExtensionId::kConntrack1);
    const bool is_state_only = m.state_mask && !m.status_mask && !m.direction;
    if (is_state_only && (*m.state_mask & ~kAllStates) == 0) forms.add(ExtensionId::kState0);
    return forms;
  }
  Forms operator()(const ruleset::LimitMatch&) const { return {ExtensionId::kLimit0}; }
  Forms operator()(const ruleset::MarkMatch&) const { return {ExtensionId::kMark1}; }
  Forms operator()(const ruleset::ConnmarkMatch&) const { return {ExtensionId::kConnmark1}; }
  Forms operator()(const ruleset::AddrtypeMatch& m) const {
    if (family == Family::kIpv6 || m.limit_iface_in || m.limit_iface_out) return {ExtensionId::kAddrtype1};
    return {ExtensionId::kAddrtype1, ExtensionId::kAddrtype0};
  }
  Forms operator()(const ruleset::DscpMatch&) const { return {ExtensionId::kDscp0}; }
  Forms operator()(const ruleset::CommentMatch& m) const {
    return m.text.size() < p::Comment::kSize ? Forms{ExtensionId::kComment0} : Forms{};
  }
  Forms operator()(const ruleset::OpaqueMatch&) const { return {}; }
};

void store_range(Room room, size_t offset, const PortRange& range) {
  store<uint16_t>(room, offset, range.first);
  store<uint16_t>(room, offset + 2, range.last);
}

PortRange load_range(Bytes bytes, size_t offset) {
  return {load<uint16_t>(bytes, offset), load<uint16_t>(bytes, offset + 2)};
}

/// The mask of `-m state` revision 0, which has no inversion of its own.
uint32_t old_state_mask(uint16_t states, bool inverted) {
  const uint32_t mask = uint32_t{states} & kPlainStates;
  const uint32_t all = mask | ((states & kUntracked) != 0 ? kOldUntracked : 0);
  return inverted ? ~all : all;
}

void store_conntrack(Room room, ExtensionId form, uint16_t flags, uint16_t inversions, uint16_t states,
                     uint16_t status) {
  store<uint16_t>(room, p::Conntrack::kMatchFlags, flags);
  store<uint16_t>(room, p::Conntrack::kInvertFlags, inversions);
  if (form == ExtensionId::kConntrack1) {
    store<uint8_t>(room, p::Conntrack::kStateMask, static_cast<uint8_t>(states));
    store<uint8_t>(room, p::Conntrack::kStatusMaskRev1, static_cast<uint8_t>(status));
  } else {
    store<uint16_t>(room, p::Conntrack::kStateMask, states);
    store<uint16_t>(room, p::Conntrack::kStatusMask, status);
  }
}

struct Writer {
  ExtensionId form;
  Room room;

  void operator()(const ruleset::TcpMatch& m) const {
    store_range(room, p::Tcp::kSource, m.source);
    store_range(room, p::Tcp::kDestination, m.destination);
    store<uint8_t>(room, p::Tcp::kOption, m.option);
    store<uint8_t>(room, p::Tcp::kFlagMask, m.flag_mask);
    store<uint8_t>(room, p::Tcp::kFlagCompare, m.flag_compare);
    store<uint8_t>(room, p::Tcp::kInversions,
                   static_cast<uint8_t>((m.source_inverted ? 1 : 0) | (m.destination_inverted ? 2 : 0) |
                                        (m.flags_inverted ? 4 : 0) | (m.option_inverted ? 8 : 0)));
  }
  void operator()(const ruleset::UdpMatch& m) const {
    store_range(room, p::Udp::kSource, m.source);
    store_range(room, p::Udp::kDestination, m.destination);
    store<uint8_t>(room, p::Udp::kInversions,
                   static_cast<uint8_t>((m.source_inverted ? 1 : 0) | (m.destination_inverted ? 2 : 0)));
  }
  void operator()(const ruleset::IcmpMatch& m) const {
    store<uint8_t>(room, p::Icmp::kType, m.type.value_or(kAnyIcmpType));
    store<uint8_t>(room, p::Icmp::kCodeMin, m.code_min);
    store<uint8_t>(room, p::Icmp::kCodeMax, m.code_max);
    store<uint8_t>(room, p::Icmp::kInversions, m.inverted ? 1 : 0);
  }
  void operator()(const ruleset::MultiportMatch& m) const {
    store<uint8_t>(room, p::Multiport::kSide, static_cast<uint8_t>(m.side));
    size_t place = 0;
    const auto put = [&](Port port) { store<uint16_t>(room, p::Multiport::kPorts + 2 * place++, port); };
    for (const PortRange& range : m.ports) {
      if (range.first != range.last) {
        store<uint8_t>(room, p::Multiport::kRangeFlags + place, 1);
        put(range.first);
      }
      put(range.last);
    }
    store<uint8_t>(room, p::Multiport::kCount, static_cast<uint8_t>(place));
    if (form == ExtensionId::kMultiport1) store<uint8_t>(room, p::Multiport::kInvert, m.inverted ? 1 : 0);
  }
  void operator()(const ruleset::OwnerMatch& m) const {
    unsigned match = 0;
    unsigned invert = 0;
    if (m.uid) {
      store<uint32_t>(room, p::Owner::kUidMin, m.uid->first);
      store<uint32_t>(room, p::Owner::kUidMax, m.uid->last);
      match |= kOwnerUid;
      if (m.uid->inverted) invert |= kOwnerUid;
    }
    if (m.gid) {
      store<uint32_t>(room, p::Owner::kGidMin, m.gid->first);
      store<uint32_t>(room, p::Owner::kGidMax, m.gid->last);
      match |= kOwnerGid;
      if (m.gid->inverted) invert |= kOwnerGid;
    }
    if (m.socket_exists) {
      match |= kOwnerSocket;
      if (!*m.socket_exists) invert |= kOwnerSocket;
    }
    if (m.supplementary_groups) match |= kOwnerGroups;
    store<uint8_t>(room, p::Owner::kMatch, static_cast<uint8_t>(match));
    store<uint8_t>(room, p::Owner::kInvert, static_cast<uint8_t>(invert));
  }
  void operator()(const ruleset::StateMatch& m) const {
    if (form == ExtensionId::kState0) {
      store<uint32_t>(room, p::State::kMask, old_state_mask(m.states.bits(), m.inverted));
    } else {
      store_conntrack(room, form, kCtState | kCtStateAlias, m.inverted ? kCtState : uint16_t{0}, m.states.bits(), 0);
    }
  }
  void operator()(const ruleset::ConntrackMatch& m) const {
    if (form == ExtensionId::kState0) {
      store<uint32_t>(room, p::State::kMask, old_state_mask(*m.state_mask, m.state_inverted));
      return;
    }
    unsigned flags = 0;
    unsigned inversions = 0;
    if (m.state_mask) flags |= kCtState;
    if (m.state_inverted) inversions |= kCtState;
    if (m.status_mask) flags |= kCtStatus;
    if (m.status_inverted) inversions |= kCtStatus;
    if (m.direction) flags |= kCtDirection;
    if (m.direction == Direction::kReply) inversions |= kCtDirection;
    store_conntrack(room, form, static_cast<uint16_t>(flags), static_cast<uint16_t>(inversions),
                    m.state_mask.value_or(0), m.status_mask.value_or(0));
  }
  void operator()(const ruleset::LimitMatch& m) const {
    store<uint32_t>(room, p::Limit::kAverage, m.average);
    store<uint32_t>(room, p::Limit::kBurst, m.burst);
  }
  void store_mark(uint32_t value, uint32_t mask, bool inverted) const {
    store<uint32_t>(room, p::Mark::kMark, value);
    store<uint32_t>(room, p::Mark::kMask, mask);
    store<uint8_t>(room, p::Mark::kInvert, inverted ? 1 : 0);
  }
  void operator()(const ruleset::MarkMatch& m) const { store_mark(m.value, m.mask, m.inverted); }
  void operator()(const ruleset::ConnmarkMatch& m) const { store_mark(m.value, m.mask, m.inverted); }
  void operator()(const ruleset::AddrtypeMatch& m) const {
    if (form == ExtensionId::kAddrtype0) {
      store<uint16_t>(room, p::AddrtypeRev0::kSource, m.source_types);
      store<uint16_t>(room, p::AddrtypeRev0::kDestination, m.destination_types);
      store<uint32_t>(room, p::AddrtypeRev0::kInvertSource, m.source_inverted ? 1 : 0);
      store<uint32_t>(room, p::AddrtypeRev0::kInvertDestination, m.destination_inverted ? 1 : 0);
      return;
    }
    store<uint16_t>(room, p::AddrtypeRev1::kSource, m.source_types);
    store<uint16_t>(room, p::AddrtypeRev1::kDestination, m.destination_types);
    store<uint32_t>(room, p::AddrtypeRev1::kFlags,
                    (m.source_inverted ? kAddrtypeInvertSource : 0) |
                        (m.destination_inverted ? kAddrtypeInvertDestination : 0) |
                        (m.limit_iface_in ? kAddrtypeIn : 0) | (m.limit_iface_out ? kAddrtypeOut : 0));
  }
  void operator()(const ruleset::DscpMatch& m) const {
    store<uint8_t>(room, p::Dscp::kDscp, m.dscp);
    store<uint8_t>(room, p::Dscp::kInvert, m.inverted ? 1 : 0);
  }
  void operator()(const ruleset::CommentMatch& m) const {
    store_text(room, p::Comment::kText, p::Comment::kSize, m.text);
  }
  void operator()(const ruleset::OpaqueMatch&) const { assert(false); }
};

ruleset::Match read_tcp(Bytes b) {
  const auto inversions = load<uint8_t>(b, p::Tcp::kInversions);
  ruleset::TcpMatch m;
  m.source = load_range(b, p::Tcp::kSource);
  m.destination = load_range(b, p::Tcp::kDestination);
  m.option = load<uint8_t>(b, p::Tcp::kOption);
  m.flag_mask = load<uint8_t>(b, p::Tcp::kFlagMask);
  m.flag_compare = load<uint8_t>(b, p::Tcp::kFlagCompare);
  m.source_inverted = (inversions & 1) != 0;
  m.destination_inverted = (inversions & 2) != 0;
  m.flags_inverted = (inversions & 4) != 0;
  m.option_inverted = (inversions & 8) != 0;
  return m;
}

ruleset::Match read_udp(Bytes b) {
  const auto inversions = load<uint8_t>(b, p::Udp::kInversions);
  return ruleset::UdpMatch{load_range(b, p::Udp::kSource), load_range(b, p::Udp::kDestination), (inversions & 1) != 0,
                           (inversions & 2) != 0};
}

ruleset::Match read_icmp(Bytes b, Family family) {
  const auto type = load<uint8_t>(b, p::Icmp::kType);
  ruleset::IcmpMatch m;
  if (family == Family::kIpv6 || type != kAnyIcmpType) m.type = type;
  m.code_min = load<uint8_t>(b, p::Icmp::kCodeMin);
  m.code_max = load<uint8_t>(b, p::Icmp::kCodeMax);
  m.inverted = load<uint8_t>(b, p::Icmp::kInversions) != 0;
  return m;
}

std::optional<ruleset::Match> read_multiport(Bytes b, ExtensionId id) {
  const bool has_ranges = id == ExtensionId::kMultiport1;
  const auto side = load<uint8_t>(b, p::Multiport::kSide);
  const size_t count = load<uint8_t>(b, p::Multiport::kCount);
  if (side > static_cast<uint8_t>(ruleset::MultiportMatch::Side::kEither) ||
      count > ruleset::MultiportMatch::kMaxPlaces) {
    return std::nullopt;
  }
  ruleset::MultiportMatch m;
  m.side = static_cast<ruleset::MultiportMatch::Side>(side);
  for (size_t place = 0; place < count; ++place) {
    const auto first = load<uint16_t>(b, p::Multiport::kPorts + 2 * place);
    PortRange range = PortRange::one(first);
    if (has_ranges && load<uint8_t>(b, p::Multiport::kRangeFlags + place) != 0) {
      if (++place == count) return std::nullopt;
      range.last = load<uint16_t>(b, p::Multiport::kPorts + 2 * place);
    }
    m.ports.push_back(range);
  }
  m.inverted = has_ranges && load<uint8_t>(b, p::Multiport::kInvert) != 0;
  return m;
}

ruleset::Match read_owner(Bytes b) {
  const auto match = load<uint8_t>(b, p::Owner::kMatch);
  const auto invert = load<uint8_t>(b, p::Owner::kInvert);
  ruleset::OwnerMatch m;
  if ((match & kOwnerUid) != 0) {
    m.uid = {load<uint32_t>(b, p::Owner::kUidMin), load<uint32_t>(b, p::Owner::kUidMax), (invert & kOwnerUid) != 0};
  }
  if ((match & kOwnerGid) != 0) {
    m.gid = {load<uint32_t>(b, p::Owner::kGidMin), load<uint32_t>(b, p::Owner::kGidMax), (invert & kOwnerGid) != 0};
  }
  if ((match & kOwnerSocket) != 0) m.socket_exists = (invert & kOwnerSocket) == 0;
  m.supplementary_groups = (match & kOwnerGroups) != 0;
  return m;
}

ruleset::Match read_state(Bytes b) {
  const auto mask = load<uint32_t>(b, p::State::kMask);
  // A tool that inverts writes the complement: all the unused bits are set then.
  const bool inverted = (mask & 0x80000000U) != 0;
  const uint32_t bits = inverted ? ~mask : mask;
  const uint32_t states = (bits & kPlainStates) | ((bits & kOldUntracked) != 0 ? kUntracked : 0U);
  return ruleset::StateMatch{StateSet::from_bits(static_cast<uint16_t>(states)), inverted};
}

ruleset::Match read_conntrack(Bytes b, ExtensionId id) {
  const bool narrow = id == ExtensionId::kConntrack1;
  const auto flags = load<uint16_t>(b, p::Conntrack::kMatchFlags);
  const auto inversions = load<uint16_t>(b, p::Conntrack::kInvertFlags);
  const uint16_t states =
      narrow ? load<uint8_t>(b, p::Conntrack::kStateMask) : load<uint16_t>(b, p::Conntrack::kStateMask);
  const uint16_t status =
      narrow ? load<uint8_t>(b, p::Conntrack::kStatusMaskRev1) : load<uint16_t>(b, p::Conntrack::kStatusMask);
  if (flags == (kCtState | kCtStateAlias) && (states & ~kAllStates) == 0) {
    return ruleset::StateMatch{StateSet::from_bits(states), (inversions & kCtState) != 0};
  }
  ruleset::ConntrackMatch m;
  if ((flags & kCtState) != 0) m.state_mask = states;
  m.state_inverted = (inversions & kCtState) != 0;
  if ((flags & kCtStatus) != 0) m.status_mask = status;
  m.status_inverted = (inversions & kCtStatus) != 0;
  if ((flags & kCtDirection) != 0) {
    m.direction = (inversions & kCtDirection) != 0 ? Direction::kReply : Direction::kOriginal;
  }
  return m;
}

ruleset::Match read_addrtype(Bytes b, ExtensionId id) {
  ruleset::AddrtypeMatch m;
  if (id == ExtensionId::kAddrtype0) {
    m.source_types = load<uint16_t>(b, p::AddrtypeRev0::kSource);
    m.destination_types = load<uint16_t>(b, p::AddrtypeRev0::kDestination);
    m.source_inverted = load<uint32_t>(b, p::AddrtypeRev0::kInvertSource) != 0;
    m.destination_inverted = load<uint32_t>(b, p::AddrtypeRev0::kInvertDestination) != 0;
    return m;
  }
  const auto flags = load<uint32_t>(b, p::AddrtypeRev1::kFlags);
  m.source_types = load<uint16_t>(b, p::AddrtypeRev1::kSource);
  m.destination_types = load<uint16_t>(b, p::AddrtypeRev1::kDestination);
  m.source_inverted = (flags & kAddrtypeInvertSource) != 0;
  m.destination_inverted = (flags & kAddrtypeInvertDestination) != 0;
  m.limit_iface_in = (flags & kAddrtypeIn) != 0;
  m.limit_iface_out = (flags & kAddrtypeOut) != 0;
  return m;
}

/// Reads what `id` says it is, from a payload of the right size. What the caller's comparison will not find back in
/// the bytes may be lost here. Nullopt where there is no sense in it at all.
std::optional<ruleset::Match> read_known(ExtensionId id, Bytes b, Family family) {
  switch (id) {
    case ExtensionId::kTcp0: return read_tcp(b);
    case ExtensionId::kUdp0: return read_udp(b);
    case ExtensionId::kIcmp0:
    case ExtensionId::kIcmp6Rev0: return read_icmp(b, family);
    case ExtensionId::kMultiport0:
    case ExtensionId::kMultiport1: return read_multiport(b, id);
    case ExtensionId::kOwner1: return read_owner(b);
    case ExtensionId::kState0: return read_state(b);
    case ExtensionId::kConntrack1:
    case ExtensionId::kConntrack2:
    case ExtensionId::kConntrack3: return read_conntrack(b, id);
    case ExtensionId::kLimit0:
      return ruleset::LimitMatch{load<uint32_t>(b, p::Limit::kAverage), load<uint32_t>(b, p::Limit::kBurst)};
    case ExtensionId::kMark1:
      return ruleset::MarkMatch{load<uint32_t>(b, p::Mark::kMark), load<uint32_t>(b, p::Mark::kMask),
                                load<uint8_t>(b, p::Mark::kInvert) != 0};
    case ExtensionId::kConnmark1:
      return ruleset::ConnmarkMatch{load<uint32_t>(b, p::Mark::kMark), load<uint32_t>(b, p::Mark::kMask),
                                    load<uint8_t>(b, p::Mark::kInvert) != 0};
    case ExtensionId::kAddrtype0:
    case ExtensionId::kAddrtype1: return read_addrtype(b, id);
    case ExtensionId::kDscp0:
      return ruleset::DscpMatch{load<uint8_t>(b, p::Dscp::kDscp), load<uint8_t>(b, p::Dscp::kInvert) != 0};
    case ExtensionId::kComment0:
      return ruleset::CommentMatch{std::string(load_text(b, p::Comment::kText, p::Comment::kSize))};
    case ExtensionId::kReject0:
    case ExtensionId::kLog0:
    case ExtensionId::kNflog0:
    case ExtensionId::kRedirectV4Rev0:
    case ExtensionId::kRedirectV6Rev0:
    case ExtensionId::kMasqueradeV4Rev0:
    case ExtensionId::kMasqueradeV6Rev0:
    case ExtensionId::kDnat0:
    case ExtensionId::kDnat1:
    case ExtensionId::kDnat2:
    case ExtensionId::kSetMark2:
    case ExtensionId::kSetConnmark1:
    case ExtensionId::kSetConnmark2:
    case ExtensionId::kSetDscp0: break;
  }
  return std::nullopt;
}

ruleset::OpaqueMatch read_opaque(const kernel::ExtensionView& view) {
  ruleset::OpaqueMatch m;
  m.name = std::string(view.name);
  m.revision = view.revision;
  m.data.assign(view.data.begin(), view.data.end());
  m.is_stateless = ruleset::is_stateless_extension(view.name);
  return m;
}

bool protocol_fits(const kernel::Extension& extension, const ruleset::HeaderTest& header) {
  return extension.only_protocol == 0 || (header.protocol == extension.only_protocol && !header.protocol_inverted);
}

}  // namespace

bool names_ports(const ruleset::HeaderTest& header) {
  return !header.protocol_inverted && protocol::carries_ports(header.protocol);
}

Forms forms_of(const ruleset::Match& match, Family family) { return std::visit(FormChooser{family}, match); }

void write_match(const ruleset::Match& match, ExtensionId form, Abi abi, std::vector<std::byte>& out) {
  std::visit(Writer{form, append_extension(out, form, abi)}, match);
}

void write_opaque(const ruleset::OpaqueMatch& match, Abi abi, std::vector<std::byte>& out) {
  const auto room = append_extension(out, match.name, match.revision, match.data.size(), abi);
  std::ranges::copy(match.data, room.begin());
}

ruleset::Match read_match(const kernel::ExtensionView& view, Family family, const ruleset::HeaderTest& header,
                          Abi abi) {
  const auto id = kernel::find_extension(family, kernel::ExtensionKind::kMatch, view.name, view.revision);
  if (!id || kernel::xt_align(payload_size(*id, abi), abi) != view.data.size() ||
      !protocol_fits(kernel::extension(*id), header)) {
    return read_opaque(view);
  }
  auto match = read_known(*id, view.data, family);
  if (!match) return read_opaque(view);
  if (std::holds_alternative<ruleset::MultiportMatch>(*match) && !names_ports(header)) return read_opaque(view);
  const Forms forms = forms_of(*match, family);
  if (std::ranges::find(forms, *id) == forms.end()) return read_opaque(view);
  // Nothing may be lost: what does not come out as it went in was not understood.
  thread_local std::vector<std::byte> again;
  again.clear();
  write_match(*match, *id, abi, again);
  if (!std::ranges::equal(again, view.whole)) return read_opaque(view);
  return *std::move(match);
}

}  // namespace tails::iptc
