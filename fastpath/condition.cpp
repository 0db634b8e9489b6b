#include "fastpath/condition.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace tails::fastpath {
namespace {

using namespace ruleset;

using Failure = tl::unexpected<const char*>;

/// The addresses that pass. Nullopt for a mask with holes.
std::optional<Ranges<uint32_t>> addresses(const AddressTest& test) {
  if (test.is_any()) return Ranges<uint32_t>();
  const auto mask = test.mask.v4_bits();
  const auto address = test.address.v4_bits();
  if (!prefix_length(test.mask)) return std::nullopt;
  // An address with bits outside its mask is equal to none.
  const auto inside =
      (address & ~mask) != 0 ? Ranges<uint32_t>::none() : Ranges<uint32_t>::of(address, address | ~mask);
  return test.inverted ? inside.complement() : inside;
}

Ranges<uint16_t> ports(const PortRange& range, bool inverted) {
  const auto inside = Ranges<uint16_t>::of(range.first, range.last);
  return inverted ? inside.complement() : inside;
}

/// Narrows `so_far` by one match after the other.
struct Narrower {
  const Standpoint& here;
  const Kinds& kinds;
  std::vector<Condition>& so_far;

  using Answer = const char*;  ///< What the wire cannot tell, or nullptr.

  template <class Test>
  void keep_kinds(Test&& test) const {
    uint64_t kept = 0;
    for (size_t k = 0; k < kinds.examples().size(); ++k) {
      if (test(kinds.examples()[k])) kept |= uint64_t{1} << k;
    }
    for (Condition& condition : so_far) condition.kinds &= kept;
  }
  template <class Test>
  void keep_states(Test&& test) const {
    unsigned kept = 0;
    for (unsigned s = 0; s < kStateCount; ++s) {
      const auto index = static_cast<StateIndex>(s);
      if (test(conn_state(index), direction_of(index))) kept |= 1U << s;
    }
    for (Condition& condition : so_far) condition.states &= static_cast<uint8_t>(kept);
  }
  void keep_ports(const Ranges<uint16_t>& source, const Ranges<uint16_t>& destination) const {
    for (Condition& condition : so_far) {
      condition.source_port.intersect(source);
      condition.destination_port.intersect(destination);
    }
  }

  Answer operator()(const TcpMatch& m) const {
    if (m.option != 0) return "a TCP option";
    keep_kinds([&](const Kinds::Example& e) {
      return e.protocol == protocol::kTcp && ((e.tcp_flags & m.flag_mask) == m.flag_compare) != m.flags_inverted;
    });
    keep_ports(ports(m.source, m.source_inverted), ports(m.destination, m.destination_inverted));
    return nullptr;
  }
  Answer operator()(const UdpMatch& m) const {
    keep_kinds([](const Kinds::Example& e) { return e.protocol == protocol::kUdp; });
    keep_ports(ports(m.source, m.source_inverted), ports(m.destination, m.destination_inverted));
    return nullptr;
  }
  Answer operator()(const IcmpMatch& m) const {
    keep_kinds([&](const Kinds::Example& e) {
      if (e.protocol != protocol::kIcmp) return false;
      const bool equal = !m.type || (e.icmp_type == *m.type && m.code_min <= e.icmp_code && e.icmp_code <= m.code_max);
      return equal != m.inverted;
    });
    return nullptr;
  }
  Answer operator()(const MultiportMatch& m) const {
    keep_kinds([](const Kinds::Example& e) { return protocol::carries_ports(e.protocol); });
    std::vector<Ranges<uint16_t>::Range> parts;
    for (const PortRange& range : m.ports) parts.push_back({range.first, range.last});
    const auto inside = Ranges<uint16_t>::of(std::move(parts));
    const auto wanted = m.inverted ? inside.complement() : inside;
    switch (m.side) {
      case MultiportMatch::Side::kSource: keep_ports(wanted, {}); break;
      case MultiportMatch::Side::kDestination: keep_ports({}, wanted); break;
      case MultiportMatch::Side::kEither:
        if (m.inverted) {
          keep_ports(wanted, wanted);
        } else {
          std::vector<Condition> by_destination = so_far;
          keep_ports(wanted, {});
          for (Condition& condition : by_destination) {
            condition.destination_port.intersect(wanted);
            so_far.push_back(std::move(condition));
          }
        }
        break;
    }
    return nullptr;
  }
  Answer operator()(const OwnerMatch& m) const {
    if (m.gid || m.supplementary_groups) return "a group";
    uint64_t kept = 0;
    for (unsigned tag = 0; tag < OwnerTag::kCount; ++tag) {
      const uint32_t uid = tag < here.uid_of.size() ? here.uid_of[tag].value : kInvalidId;
      const bool has_socket = uid != kInvalidId;
      const bool matches = has_socket ? (!m.socket_exists || *m.socket_exists) && (!m.uid || m.uid->matches(uid))
                                      : (!m.uid || m.uid->inverted) && (!m.socket_exists || !*m.socket_exists);
      if (matches) kept |= uint64_t{1} << tag;
    }
    for (Condition& condition : so_far) condition.owners &= kept;
    return nullptr;
  }
  Answer operator()(const StateMatch& m) const {
    keep_states([&](ConnState state, Direction) { return m.states.contains(state) != m.inverted; });
    return nullptr;
  }
  Answer operator()(const ConntrackMatch& m) const {
    if (m.status_mask) return "a flow's status";
    if (m.state_mask && (*m.state_mask & (ConntrackMatch::kSnat | ConntrackMatch::kDnat)) != 0) return "NAT";
    keep_states([&](ConnState state, Direction direction) {
      if (m.state_mask && ((*m.state_mask & static_cast<uint16_t>(state)) != 0) == m.state_inverted) return false;
      if (state == ConnState::kInvalid) return m.state_mask.has_value();
      return !m.direction || *m.direction == direction;
    });
    return nullptr;
  }
  Answer operator()(const LimitMatch&) const { return "a rate limit"; }
  Answer operator()(const MarkMatch&) const { return "a mark"; }
  Answer operator()(const ConnmarkMatch&) const { return "a flow's mark"; }
  Answer operator()(const AddrtypeMatch&) const { return "a kind of address"; }
  Answer operator()(const DscpMatch&) const { return "DSCP"; }
  Answer operator()(const CommentMatch&) const { return nullptr; }
  Answer operator()(const OpaqueMatch&) const { return "an unknown match"; }
};

/// Narrows by an address test; false for a mask with holes.
bool keep_addresses(Condition& condition, Ranges<uint32_t> Condition::*field, const std::optional<uint32_t>& known,
                    const AddressTest& test) {
  if (known) {
    if (!test.matches(IpAddress::v4(*known))) condition.owners = 0;
    return true;
  }
  const auto wanted = addresses(test);
  if (!wanted) return false;
  (condition.*field).intersect(*wanted);
  return true;
}

}  // namespace

void Condition::intersect(const Condition& other) {
  owners &= other.owners;
  kinds &= other.kinds;
  states &= other.states;
  source.intersect(other.source);
  destination.intersect(other.destination);
  source_port.intersect(other.source_port);
  destination_port.intersect(other.destination_port);
}

std::vector<Standpoint> standpoints(const WireView& view, Side from) {
  const bool out = from == Side::kInside;
  Standpoint machine;
  machine.hook = out ? Hook::kOutput : Hook::kInput;
  (out ? machine.out : machine.in) = view.interface;
  if (out) machine.uid_of.assign(OwnerTag::kCount, Uid{kInvalidId});
  std::vector<Standpoint> all = {std::move(machine)};
  for (const OwnerTag& tag : view.owners) {
    const uint64_t bit = uint64_t{1} << tag.tag;
    if (const auto* uid = std::get_if<Uid>(&tag.owner)) {
      if (!out) continue;
      all.front().owners |= bit;
      all.front().uid_of.at(tag.tag) = *uid;
      continue;
    }
    const auto& guest = std::get<ForwardedGuest>(tag.owner);
    Standpoint forward;
    forward.hook = Hook::kForward;
    forward.in = out ? guest.interface : view.interface;
    forward.out = out ? view.interface : guest.interface;
    forward.owners = bit;
    (out ? forward.source : forward.destination) = guest.address.v4_bits();
    all.push_back(std::move(forward));
  }
  return all;
}

bool can_meet(const Standpoint& here, const Rule& rule) {
  return rule.header.in.matches(here.in) && rule.header.out.matches(here.out);
}

Result<std::vector<Condition>, const char*> conditions(const Standpoint& here, const Kinds& kinds, const Rule& rule) {
  std::vector<Condition> result;
  // A whole packet is never a later fragment.
  if (!can_meet(here, rule) || rule.header.fragment == HeaderTest::Fragment::kLater) return result;

  Condition all;
  all.owners = here.owners;
  all.states = kAllStates;
  for (size_t k = 0; k < kinds.examples().size(); ++k) {
    const uint8_t number = kinds.examples()[k].protocol;
    const bool passes = rule.header.protocol == 0 || (rule.header.protocol == number) != rule.header.protocol_inverted;
    if (passes) all.kinds |= uint64_t{1} << k;
  }
  if (!keep_addresses(all, &Condition::source, here.source, rule.header.source) ||
      !keep_addresses(all, &Condition::destination, here.destination, rule.header.destination)) {
    return Failure("an address mask with holes");
  }
  result.push_back(std::move(all));
  for (const Match& match : rule.matches) {
    if (const char* unknown = std::visit(Narrower{here, kinds, result}, match)) {
      // What no packet reaches need not be known.
      if (std::ranges::all_of(result, &Condition::is_empty)) return std::vector<Condition>{};
      return Failure(unknown);
    }
  }
  std::erase_if(result, [](const Condition& condition) { return condition.is_empty(); });
  return result;
}

}  // namespace tails::fastpath
