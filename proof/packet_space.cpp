#include "proof/packet_space.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>

namespace tails::proof {

using ruleset::SetConnmark;
using ruleset::SetMark;

namespace {

/// Codes of the state field.
constexpr std::array kStates = {ConnState::kNew, ConnState::kEstablished, ConnState::kRelated, ConnState::kInvalid,
                                ConnState::kUntracked};
/// Bits of AddressType. The codes of a field above them mean UNICAST, so that no code means nothing.
constexpr unsigned kAddressTypes = 9;

uint64_t code_of(ConnState state) { return static_cast<uint64_t>(std::ranges::find(kStates, state) - kStates.begin()); }

bool bit_of(const Field& field, uint64_t value, unsigned bit) { return (value >> (field.bits - 1 - bit) & 1) != 0; }

}  // namespace

PacketSpace::PacketSpace(Family family, const InterfaceClasses& interfaces, const Granularity* granularity)
    : family_(family), interfaces_(&interfaces), layout_(family, interfaces.bits(), granularity) {}

// Diagrams grow from the last variable up: then each step adds one node.

Bdd PacketSpace::classes(const Field& field, const Number& first, const Number& last) const {
  const auto range = field.classes->whole(first, last);
  if (!range) {
    is_too_coarse_ = true;
    return {};
  }
  // The codes that number no class are as good as the last one's: what is said of all packets holds there too.
  const bool is_to_the_end = range->second + 1 == field.classes->size();
  const uint64_t end = is_to_the_end ? (uint64_t{1} << field.bits) - 1 : range->second;
  const auto [at, is_new] = masked_.try_emplace({field.first, range->first, end});
  if (is_new) at->second = codes(field, range->first, end);
  return at->second;
}

Bdd PacketSpace::point(const Field& field, const Number& value) const {
  if (field.classes == nullptr) {
    if (field.bits <= 64) return equals(field, value.low);
    const IpAddress all = mask_of(family_, field.bits);
    return address(field, {family_, value.high, value.low}, all);
  }
  const auto range = field.classes->whole(value, value);
  if (!range) {
    is_too_coarse_ = true;
    return {};
  }
  Bdd set = Bdd::always();
  for (unsigned bit = field.bits; bit-- > 0;) {
    set = Bdd::literal(field.variable(bit), bit_of(field, range->first, bit)) & set;
  }
  return set;
}

Bdd PacketSpace::equals(const Field& field, uint64_t value) const {
  assert(field.bits <= 64);
  if (field.classes != nullptr) return classes(field, {0, value}, {0, value});
  return masked(field, value, field.bits == 64 ? ~uint64_t{0} : (uint64_t{1} << field.bits) - 1);
}

Bdd PacketSpace::masked(const Field& field, uint64_t value, uint64_t mask) const {
  if ((value & ~mask) != 0) return {};
  if (field.classes != nullptr) {
    // Only masks of networks describe an interval, and only addresses have those.
    is_too_coarse_ = true;
    return {};
  }
  const auto [at, is_new] = masked_.try_emplace({field.first, value, mask});
  if (!is_new) return at->second;
  Bdd set = Bdd::always();
  for (unsigned bit = field.bits; bit-- > 0;) {
    if (bit_of(field, mask, bit)) set = Bdd::literal(field.variable(bit), bit_of(field, value, bit)) & set;
  }
  return at->second = set;
}

Bdd PacketSpace::between(const Field& field, uint64_t first, uint64_t last) const {
  if (first > last) return {};
  if (field.classes != nullptr) return classes(field, {0, first}, {0, last});
  if (first == last) return equals(field, first);
  return codes(field, first, last);
}

Bdd PacketSpace::codes(const Field& field, uint64_t first, uint64_t last) const {
  Bdd from = Bdd::always();
  Bdd to = Bdd::always();
  for (unsigned bit = field.bits; bit-- > 0;) {
    const Bdd variable = Bdd::literal(field.variable(bit));
    from = bit_of(field, first, bit) ? variable & from : variable | from;
    to = bit_of(field, last, bit) ? ~variable | to : ~variable & to;
  }
  return from & to;
}

Bdd PacketSpace::between(const Field& field, const IpAddress& first, const IpAddress& last) const {
  if (field.classes != nullptr) return classes(field, Number::of(first), Number::of(last));
  Bdd from = Bdd::always();
  Bdd to = Bdd::always();
  for (unsigned bit = field.bits; bit-- > 0;) {
    const Bdd variable = Bdd::literal(field.variable(bit));
    from = first.bit(bit) ? variable & from : variable | from;
    to = last.bit(bit) ? ~variable | to : ~variable & to;
  }
  return from & to;
}

Bdd PacketSpace::any_of(const Field& field, uint64_t mask) const { return ~masked(field, 0, mask); }

Bdd PacketSpace::address(const Field& field, const IpAddress& address, const IpAddress& mask) const {
  if ((address & mask) != address) return {};
  if (field.classes != nullptr) {
    const auto length = prefix_length(mask);
    if (!length) {
      is_too_coarse_ = true;
      return {};
    }
    const IpAddress all = mask_of(family_, address_bits(family_));
    return classes(field, Number::of(address),
                   {address.high | (all.high & ~mask.high), address.low | (all.low & ~mask.low)});
  }
  if (field.bits <= 64) return masked(field, address.low, mask.low);
  Bdd set = Bdd::always();
  for (unsigned bit = field.bits; bit-- > 0;) {
    if (mask.bit(bit)) set = Bdd::literal(field.variable(bit), address.bit(bit)) & set;
  }
  return set;
}

Bdd PacketSpace::inside(const Field& field, const Prefix& prefix) const {
  assert(prefix.family() == family_);
  return address(field, prefix.address(), prefix.mask());
}

Bdd PacketSpace::ports(const Field& field, const PortRange& range) const {
  return range.is_any() ? Bdd::always() : between(field, range.first, range.last);
}

Bdd PacketSpace::same(const Field& a, const Field& b) const {
  assert(a.bits == b.bits);
  Bdd set = Bdd::always();
  for (unsigned bit = a.bits; bit-- > 0;) {
    set &= ~(Bdd::literal(a.variable(bit)) ^ Bdd::literal(b.variable(bit)));
  }
  return set;
}

Bdd PacketSpace::icmp() const { return protocol(family_ == Family::kIpv4 ? protocol::kIcmp : protocol::kIcmpv6); }

Bdd PacketSpace::states(StateSet states) const {
  Bdd set;
  for (const ConnState state : kStates) {
    if (states.contains(state)) set |= equals(layout_.state, code_of(state));
  }
  return set;
}

Bdd PacketSpace::direction(Direction direction) const {
  return Bdd::literal(layout_.direction.first, direction == Direction::kReply);
}

Bdd PacketSpace::user(Uid uid) const { return has_user() & equals(layout_.uid, uid.value); }

Bdd PacketSpace::tcp_syn() const {
  return protocol(protocol::kTcp) & masked(layout_.tcp_flags, tcp_flag::kSyn, tcp_flag::kSynMask);
}

Bdd PacketSpace::has_flow() const { return ~states(ConnState::kInvalid | ConnState::kUntracked); }

Bdd PacketSpace::opens_flow() const {
  const Bdd opens = states(ConnState::kNew) | (states(ConnState::kRelated) - icmp());
  return (opens & direction(Direction::kOriginal)) - has_recorded();
}

Bdd PacketSpace::interface(const Field& field, const ruleset::InterfaceTest& test, bool exists) const {
  if (test.is_any()) return Bdd::always();
  if (!exists) return Bdd::constant(test.matches(InterfaceName()));
  if (!test.is_prefix) {
    const auto name = InterfaceName::make(test.view());
    if (!name) return Bdd::constant(test.inverted != test.view().empty());
    const Bdd set = equals(field, interfaces_->class_of(*name));
    return test.inverted ? ~set : set;
  }
  Bdd set;
  for (size_t i = 0; i < interfaces_->size(); ++i) {
    if (test.matches(interfaces_->member(i))) set |= equals(field, i);
  }
  return set;
}

Bdd PacketSpace::in(const ruleset::InterfaceTest& test, Hook hook) const {
  return interface(layout_.in, test, hook != Hook::kOutput);
}
Bdd PacketSpace::out(const ruleset::InterfaceTest& test, Hook hook) const {
  return interface(layout_.out, test, hook != Hook::kInput);
}
Bdd PacketSpace::only(const Field& field, const InterfaceName& name) const {
  const size_t index = interfaces_->class_of(name);
  assert(interfaces_->member(index) == name);
  return equals(field, index);
}
Bdd PacketSpace::in(const InterfaceName& name) const { return only(layout_.in, name); }
Bdd PacketSpace::out(const InterfaceName& name) const { return only(layout_.out, name); }

Bdd PacketSpace::type(const Field& field, AddressType type) const {
  const Bdd set = equals(field, static_cast<uint64_t>(std::countr_zero(static_cast<uint16_t>(type))));
  return type == AddressType::kUnicast ? set | between(field, kAddressTypes, 15) : set;
}

Bdd PacketSpace::domain(Hook hook) const {
  Bdd set = between(layout_.state, 0, kStates.size() - 1);
  set -= user(Uid{kInvalidId});
  if (hook != Hook::kOutput) set &= between(layout_.in, 0, interfaces_->size() - 1) - has_user();
  if (hook != Hook::kInput) set &= between(layout_.out, 0, interfaces_->size() - 1);
  return set;
}

Bdd PacketSpace::implies(const Bdd& when, const Bdd& then) { return ~when | then; }

Bdd PacketSpace::plausible_flow(Hook hook) const {
  const Bdd original = direction(Direction::kOriginal);
  const Bdd set = implies(states(ConnState::kNew), original) & implies(has_recorded(), has_flow() & original);
  if (family_ == Family::kIpv4 || hook == Hook::kOutput) return set;
  const auto is = [&](const Field& end, const IpAddress& address) { return inside(end, Prefix::host(address)); };
  const Bdd of_loopback = is(layout_.source, kLoopbackV6) | is(layout_.destination, kLoopbackV6);
  const Bdd possible = set & implies(of_loopback, in(kLoopbackInterface));
  if (hook != Hook::kInput) return possible;
  const IpAddress nobody = IpAddress::v6(0, 0);
  return possible - (is(layout_.destination, nobody) | (has_recorded() & is(layout_.recorded_destination, nobody)));
}

Bdd PacketSpace::plausible_rest(Hook hook) const {
  constexpr uint64_t kSeenReply = 2;  // IPS_SEEN_REPLY
  const Layout& l = layout_;
  const bool is_v4 = family_ == Family::kIpv4;
  const Prefix loopback = is_v4 ? kLoopbackNetV4 : Prefix::host(kLoopbackV6);
  const Prefix multicast =
      *(is_v4 ? Prefix::make(IpAddress::v4(224, 0, 0, 0), 4) : Prefix::make(IpAddress::v6(0xff00000000000000, 0), 8));
  const Bdd seen_reply = any_of(l.status, kSeenReply);
  Bdd set = implies(states(ConnState::kNew), ~seen_reply) & implies(states(ConnState::kEstablished), seen_reply);
  for (const auto& [address, kind] :
       {std::pair(l.destination, l.destination_type), std::pair(l.source, l.source_type)}) {
    set &= implies(inside(address, loopback), type(kind, AddressType::kLocal));
    set &= ~(inside(address, multicast) ^ type(kind, AddressType::kMulticast));
  }
  if (hook == Hook::kOutput) {
    set &= implies(type(l.destination_type, AddressType::kLocal),
                   out(kLoopbackInterface) | inside(l.destination, loopback));
  }
  return set;
}

Bdd PacketSpace::plausible_among(const Bdd& set, Hook hook) const {
  const Bdd in_flow = set & plausible_flow(hook);
  const Bdd tested = all_of(layout_.status) & all_of(layout_.destination_type) & all_of(layout_.source_type);
  return in_flow.depends_on_any(tested) ? in_flow & plausible_rest(hook) : in_flow;
}

namespace {

/// Reads fields out of an assignment.
class AssignmentReader {
 public:
  explicit AssignmentReader(const std::vector<signed char>& assignment) : assignment_(assignment) {}

  [[nodiscard]] bool bit(int variable) const { return assignment_.at(static_cast<size_t>(variable)) == 1; }
  [[nodiscard]] uint64_t number(const Field& field, unsigned from, unsigned to) const {
    uint64_t value = 0;
    for (unsigned i = from; i < to; ++i) value = value << 1 | uint64_t{bit(field.variable(i))};
    return value;
  }
  template <class T>
  [[nodiscard]] T as(const Field& field) const {
    return static_cast<T>(number(field, 0, field.bits));
  }
  [[nodiscard]] IpAddress address(const Field& field) const {
    if (field.bits == 32) return IpAddress::v4(as<uint32_t>(field));
    return IpAddress::v6(number(field, 0, 64), number(field, 64, 128));
  }

 private:
  const std::vector<signed char>& assignment_;
};

bool has_ports(uint8_t number) {
  constexpr std::array kWithPorts = {protocol::kTcp, protocol::kUdp, protocol::kUdplite, protocol::kDccp,
                                     protocol::kSctp};
  return std::ranges::find(kWithPorts, number) != kWithPorts.end();
}

}  // namespace

Packet PacketSpace::packet(const std::vector<signed char>& assignment, Hook hook) const {
  const AssignmentReader read(assignment);
  const Layout& l = layout_;
  Packet p;
  p.hook = hook;
  p.protocol = read.as<uint8_t>(l.protocol);
  p.source = read.address(l.source);
  p.destination = read.address(l.destination);
  p.later_fragment = read.bit(l.later_fragment.first);
  if (has_ports(p.protocol)) {
    p.source_port = read.as<Port>(l.source_port);
    p.destination_port = read.as<Port>(l.destination_port);
  }
  if (p.protocol == protocol::kTcp) p.tcp_flags = read.as<uint8_t>(l.tcp_flags);
  if (p.is_icmp()) {
    p.icmp_type = read.as<uint8_t>(l.icmp_type);
    p.icmp_code = read.as<uint8_t>(l.icmp_code);
  }
  const auto interface = [&](const Field& field) {
    return interfaces_->member(std::min(read.as<size_t>(field), interfaces_->size() - 1));
  };
  if (hook != Hook::kOutput) p.in = interface(l.in);
  if (hook != Hook::kInput) p.out = interface(l.out);
  if (read.bit(l.has_uid.first)) {
    p.uid = Uid{read.as<uint32_t>(l.uid)};
    p.gid = Gid{read.as<uint32_t>(l.gid)};
  }
  p.state = kStates.at(read.as<size_t>(l.state));
  p.direction = read.bit(l.direction.first) ? Direction::kReply : Direction::kOriginal;
  p.status = read.as<uint32_t>(l.status);
  p.mark = Mark{read.as<uint32_t>(l.mark)};
  p.connmark = Mark{read.as<uint32_t>(l.connmark)};
  p.dscp = read.as<uint8_t>(l.dscp);
  const auto kind = [&](const Field& field) {
    const auto code = read.as<unsigned>(field);
    return code < kAddressTypes ? static_cast<AddressType>(1U << code) : AddressType::kUnicast;
  };
  p.source_type = kind(l.source_type);
  p.destination_type = kind(l.destination_type);
  if (read.bit(l.has_recorded.first)) {
    p.recorded_nat = Endpoint{read.address(l.recorded_destination), Port{}};
    if (has_ports(p.protocol)) p.recorded_nat->port = read.as<Port>(l.recorded_port);
  }
  return p;
}

std::vector<bool> PacketSpace::assignment(const Packet& p, size_t variables) const {
  std::vector<bool> values(variables);
  const auto put = [&](const Field& field, uint64_t value) {
    for (unsigned bit = 0; bit < field.bits; ++bit) {
      values.at(static_cast<size_t>(field.variable(bit))) = bit_of(field, value, bit);
    }
  };
  const auto put_address = [&](const Field& field, const IpAddress& address) {
    for (unsigned bit = 0; bit < field.bits; ++bit) {
      values.at(static_cast<size_t>(field.variable(bit))) = address.bit(bit);
    }
  };
  const Layout& l = layout_;
  if (p.hook != Hook::kOutput) put(l.in, interfaces_->class_of(p.in));
  if (p.hook != Hook::kInput) put(l.out, interfaces_->class_of(p.out));
  put(l.state, code_of(p.state));
  put(l.direction, p.direction == Direction::kReply ? 1 : 0);
  put(l.has_recorded, p.recorded_nat ? 1 : 0);
  put(l.protocol, p.protocol);
  put(l.has_uid, p.uid ? 1 : 0);
  put(l.uid, p.uid.value_or(Uid{}).value);
  put(l.gid, p.gid.value_or(Gid{}).value);
  put_address(l.destination, p.destination);
  put_address(l.recorded_destination, p.recorded_nat ? p.recorded_nat->address : p.destination);
  put(l.destination_port, p.destination_port);
  put(l.recorded_port, p.recorded_nat ? p.recorded_nat->port : p.destination_port);
  put(l.tcp_flags, p.tcp_flags);
  put(l.source_port, p.source_port);
  put_address(l.source, p.source);
  put(l.icmp_type, p.icmp_type);
  put(l.icmp_code, p.icmp_code);
  put(l.later_fragment, p.later_fragment ? 1 : 0);
  put(l.destination_type, static_cast<uint64_t>(std::countr_zero(static_cast<uint16_t>(p.destination_type))));
  put(l.source_type, static_cast<uint64_t>(std::countr_zero(static_cast<uint16_t>(p.source_type))));
  put(l.mark, p.mark.value);
  put(l.connmark, p.connmark.value);
  put(l.dscp, p.dscp);
  put(l.status, p.status);
  return values;
}

Bdd PacketSpace::with_destination(const Bdd& set, const Destination& to) const {
  Bdd cube = Bdd::always();
  if (to.becomes_local) cube = type(layout_.destination_type, AddressType::kLocal);
  if (to.port) cube &= point(layout_.destination_port, {0, *to.port});
  if (to.address) cube &= point(layout_.destination, Number::of(*to.address));
  return set.restricted_to(cube);
}

Bdd PacketSpace::with_recorded_destination(const Bdd& set) const {
  if (set.is_constant()) return set;
  BddSubstitution substitution;
  const auto put = [&](const Field& field, const Field& recorded) {
    for (unsigned bit = 0; bit < field.bits; ++bit) {
      substitution.put(field.variable(bit), Bdd::literal(recorded.variable(bit)));
    }
  };
  put(layout_.destination, layout_.recorded_destination);
  put(layout_.destination_port, layout_.recorded_port);
  return substitution.apply(set);
}

Bdd PacketSpace::with_mark(const Bdd& set, const SetMark& target) const {
  if (set.is_constant()) return set;
  const Field& mark = layout_.mark;
  BddSubstitution substitution;
  for (unsigned bit = 0; bit < mark.bits; ++bit) {
    const Bdd kept = bit_of(mark, target.mask, bit) ? Bdd() : Bdd::literal(mark.variable(bit));
    substitution.put(mark.variable(bit), kept ^ Bdd::constant(bit_of(mark, target.value, bit)));
  }
  return substitution.apply(set);
}

Bdd PacketSpace::with_connmark(const Bdd& set, const SetConnmark& target) const {
  if (set.is_constant()) return set;
  const bool restores = target.mode == SetConnmark::Mode::kRestore;
  const Field& to = restores ? layout_.mark : layout_.connmark;
  const Field& from = restores ? layout_.connmark : layout_.mark;
  const uint32_t to_mask = restores ? target.nfmask : target.ctmask;
  const uint32_t from_mask = restores ? target.ctmask : target.nfmask;
  BddSubstitution substitution;
  for (unsigned bit = 0; bit < to.bits; ++bit) {
    const Bdd kept = bit_of(to, to_mask, bit) ? Bdd() : Bdd::literal(to.variable(bit));
    Bdd added = Bdd::constant(target.mode == SetConnmark::Mode::kSet && bit_of(to, target.value, bit));
    if (target.mode != SetConnmark::Mode::kSet && bit_of(from, from_mask, bit))
      added = Bdd::literal(from.variable(bit));
    substitution.put(to.variable(bit), kept ^ added);
  }
  return Bdd::choose(has_flow(), substitution.apply(set), set);  // without a flow there is no such mark
}

Bdd PacketSpace::all_of(const Field& field) const {
  Bdd variables = Bdd::always();
  for (unsigned bit = field.bits; bit-- > 0;) variables = Bdd::literal(field.variable(bit)) & variables;
  return variables;
}

Bdd PacketSpace::rewritable() const {
  const Layout& l = layout_;
  Bdd variables = Bdd::always();
  for (const Field& field : {l.dscp, l.connmark, l.mark, l.source_type, l.destination_type, l.icmp_code, l.icmp_type,
                             l.source, l.source_port, l.tcp_flags, l.destination_port, l.destination}) {
    variables &= all_of(field);
  }
  return variables;
}

}  // namespace tails::proof
