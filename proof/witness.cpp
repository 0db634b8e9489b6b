#include "proof/witness.h"

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

namespace tails::proof {
namespace {

constexpr std::array kCommonPorts = {Port{443}, Port{80}, Port{53}, Port{22}, Port{123}, Port{25}, Port{137}};

/// Documentation, private, and the special ones, in the order in which a reader finds them plain.
const std::array kPlainAddresses = {IpAddress::v4(192, 0, 2, 1),
                                    IpAddress::v4(198, 51, 100, 1),
                                    IpAddress::v4(203, 0, 113, 1),
                                    IpAddress::v4(192, 168, 1, 1),
                                    IpAddress::v4(10, 0, 0, 1),
                                    IpAddress::v4(172, 16, 0, 1),
                                    IpAddress::v4(127, 0, 0, 1),
                                    IpAddress::v4(127, 0, 0, 2),
                                    IpAddress::v4(224, 0, 0, 251),
                                    IpAddress::v4(255, 255, 255, 255),
                                    IpAddress::v4(169, 254, 1, 1),
                                    IpAddress::v6(0x20010db800000000, 1),
                                    kLoopbackV6,
                                    IpAddress::v6(0xfe80000000000000, 1),
                                    IpAddress::v6(0xff02000000000000, 0xfb)};

/// Narrows a set down, wish by wish: what cannot be had is passed over.
class Wishes {
 public:
  Wishes(Bdd set, const PacketSpace& space) : set_(std::move(set)), space_(space) {}

  bool prefer(const Bdd& wish) {
    Bdd both = set_ & wish;
    if (both.is_never()) return false;
    set_ = std::move(both);
    return true;
  }
  bool prefer(const Field& field, uint64_t value) { return prefer(space_.equals(field, value)); }
  template <class Range, class MakeSet>
  bool prefer_first_of(const Range& values, const MakeSet& make_set) {
    return std::ranges::any_of(values, [&](const auto& value) { return prefer(make_set(value)); });
  }
  [[nodiscard]] const Bdd& set() const { return set_; }

 private:
  Bdd set_;
  const PacketSpace& space_;
};

Bdd at(const PacketSpace& space, const Field& field, const IpAddress& address) {
  return address.family == space.family() ? space.inside(field, Prefix::host(address)) : Bdd();
}

bool is_known(const PacketSpace& space, const InterfaceName& name) {
  return space.interfaces().member(space.interfaces().class_of(name)) == name;
}

// The wishes follow the order of the variables, as far as it matters: each makes the rest of the set much smaller.

void prefer_flow_and_interfaces(Wishes& wishes, const PacketSpace& space, Hook hook, const Familiar& familiar) {
  wishes.prefer_first_of(std::array{ConnState::kNew, ConnState::kEstablished, ConnState::kRelated, ConnState::kInvalid},
                         [&](ConnState state) { return space.states(state); });
  wishes.prefer(space.direction(Direction::kOriginal));
  wishes.prefer(~space.has_recorded());
  wishes.prefer(space.layout().later_fragment, 0);
  // In the reply's direction ICMP errors are RELATED, and else only the RST of a REJECT (nf_conntrack_core.c).
  const uint8_t icmp = space.family() == Family::kIpv4 ? protocol::kIcmp : protocol::kIcmpv6;
  wishes.prefer(PacketSpace::implies(space.states(ConnState::kRelated) - space.direction(Direction::kOriginal),
                                     space.protocol(icmp)));
  // TCP as a plain program sends it in this state: else another protocol makes the better example.
  const Bdd opens = space.states(ConnState::kNew | ConnState::kRelated);
  const auto flags = [&](uint8_t value) { return space.equals(space.layout().tcp_flags, value); };
  const Bdd usual = Bdd::choose(opens, flags(tcp_flag::kSyn), flags(tcp_flag::kAck));
  wishes.prefer(PacketSpace::implies(space.protocol(protocol::kTcp), usual));
  const auto out = [&](const InterfaceName& name) { return is_known(space, name) ? space.out(name) : Bdd(); };
  const auto in = [&](const InterfaceName& name) { return is_known(space, name) ? space.in(name) : Bdd(); };
  if (hook != Hook::kInput) wishes.prefer_first_of(familiar.interfaces, out);
  if (hook != Hook::kOutput) wishes.prefer_first_of(familiar.interfaces, in);
  // By loopback a packet for 127.0.0.1 is the better example, even where it needs another user.
  const IpAddress home = space.family() == Family::kIpv4 ? kLoopbackV4 : kLoopbackV6;
  wishes.prefer(PacketSpace::implies(space.out(kLoopbackInterface), at(space, space.layout().destination, home)));
}

void prefer_owner(Wishes& wishes, const PacketSpace& space, const Familiar& familiar) {
  const Layout& l = space.layout();
  const auto user = [&](Uid uid) { return space.user(uid); };
  if (!wishes.prefer_first_of(familiar.users, user)) {
    if (!wishes.prefer_first_of(std::array{Uid{1000}, Uid{0}, Uid{65534}}, user)) wishes.prefer(space.has_user());
  }
  if (wishes.prefer(space.same(l.uid, l.gid))) return;
  wishes.prefer(l.gid, 0);
}

void prefer_protocol(Wishes& wishes, const PacketSpace& space) {
  const uint8_t icmp = space.family() == Family::kIpv4 ? protocol::kIcmp : protocol::kIcmpv6;
  wishes.prefer_first_of(std::array{protocol::kTcp, protocol::kUdp, icmp},
                         [&](uint8_t number) { return space.protocol(number); });
}

void prefer_addresses(Wishes& wishes, const PacketSpace& space, const Familiar& familiar) {
  const Layout& l = space.layout();
  // By loopback both ends are local; on a wire the source is a plain address of ours.
  const IpAddress loopback = space.family() == Family::kIpv4 ? kLoopbackV4 : kLoopbackV6;
  const auto destination = [&](const IpAddress& address) { return at(space, l.destination, address); };
  const auto source = [&](const IpAddress& address) { return at(space, l.source, address); };
  const bool is_local = (wishes.set() - (space.out(kLoopbackInterface) | space.in(kLoopbackInterface))).is_never();
  if (!(is_local && wishes.prefer(destination(loopback)))) {
    if (!wishes.prefer_first_of(kPlainAddresses, destination)) wishes.prefer_first_of(familiar.addresses, destination);
  }
  if (is_local && wishes.prefer(source(loopback))) return;
  constexpr std::array kOurs = {IpAddress::v4(198, 51, 100, 7), IpAddress::v6(0x20010db800000000, 7)};
  if (wishes.prefer_first_of(kOurs, source)) return;
  if (wishes.prefer_first_of(familiar.addresses, source)) return;
  wishes.prefer_first_of(kPlainAddresses, source);
}

void prefer_transport(Wishes& wishes, const PacketSpace& space, const Familiar& familiar) {
  const Layout& l = space.layout();
  const auto port = [&](Port number) { return space.equals(l.destination_port, number); };
  if (!wishes.prefer_first_of(familiar.ports, port)) wishes.prefer_first_of(kCommonPorts, port);
  wishes.prefer_first_of(std::array{Port{40000}, Port{53}},
                         [&](Port number) { return space.equals(l.source_port, number); });
  constexpr std::array kFlags = {tcp_flag::kSyn, tcp_flag::kAck, uint8_t{tcp_flag::kPsh | tcp_flag::kAck}};
  wishes.prefer_first_of(kFlags, [&](uint8_t flags) { return space.equals(l.tcp_flags, flags); });
  // An error where the state is one of errors, else an echo request; unreachable port, echo request, echo reply.
  using TypeAndCode = std::pair<uint8_t, uint8_t>;
  const bool is_v4 = space.family() == Family::kIpv4;
  std::array types = is_v4 ? std::array{TypeAndCode{3, 3}, TypeAndCode{8, 0}, TypeAndCode{0, 0}}
                           : std::array{TypeAndCode{1, 4}, TypeAndCode{128, 0}, TypeAndCode{129, 0}};
  const Bdd of_errors = space.states(ConnState::kRelated | ConnState::kInvalid);
  if (!(wishes.set() - of_errors).is_never()) std::swap(types[0], types[1]);
  wishes.prefer_first_of(types, [&](const TypeAndCode& type) {
    return space.equals(l.icmp_type, type.first) & space.equals(l.icmp_code, type.second);
  });
}

void prefer_rest(Wishes& wishes, const PacketSpace& space, Hook hook) {
  const Layout& l = space.layout();
  wishes.prefer(space.plausible_rest(hook));
  for (const Field& field : {l.mark, l.connmark, l.dscp}) wishes.prefer(field, 0);
  // SEEN_REPLY and CONFIRMED, as an established flow has them.
  wishes.prefer_first_of(std::array{uint64_t{0}, uint64_t{0xA}, uint64_t{0xE}},
                         [&](uint64_t bits) { return space.equals(l.status, bits); });
  for (const Field& field : {l.destination_type, l.source_type})
    wishes.prefer(space.type(field, AddressType::kUnicast));
}

}  // namespace

Familiar Familiar::plain() {
  Familiar familiar;
  for (const char* name : {"eth0", "wlan0", "lo"}) familiar.interfaces.push_back(*InterfaceName::make(name));
  return familiar;
}

Familiar Familiar::of(const policy::Policy& policy) {
  Familiar familiar = plain();
  const auto add_user = [&](const policy::User& user) {
    if (std::ranges::find(familiar.users, user.uid) == familiar.users.end()) familiar.users.push_back(user.uid);
  };
  if (policy.live) add_user(*policy.live);
  for (const policy::Service& service : policy.services) {
    for (const policy::User& user : service.allow) add_user(user);
  }
  for (const policy::Direct& direct : policy.direct) add_user(direct.user);
  if (policy.tor) add_user(policy.tor->user);
  add_user({"root", Uid{0}});
  for (const policy::Namespace& guest : policy.namespaces) {
    familiar.addresses.push_back(guest.guest);
    familiar.addresses.push_back(guest.host);
  }
  for (const Prefix& lan : policy.lan.networks) {
    IpAddress first = lan.address();
    first.low |= 1;
    familiar.addresses.push_back(first);
  }
  if (policy.tor && policy.tor->automap) {
    IpAddress first = policy.tor->automap->address();
    first.low |= 1;
    familiar.addresses.push_back(first);
  }
  familiar.ports.assign(kCommonPorts.begin(), kCommonPorts.end());
  if (policy.tor && policy.tor->trans_port) familiar.ports.push_back(*policy.tor->trans_port);
  for (const policy::Service& service : policy.services) {
    for (const policy::PortGrant& grant : service.ports) familiar.ports.push_back(grant.ports.first);
  }
  return familiar;
}

void Familiar::add(const ruleset::RuleSet& rules) {
  constexpr size_t kMost = 48;
  const auto add_to = [](auto& list, const auto& value) {
    if (list.size() < kMost && std::ranges::find(list, value) == list.end()) list.push_back(value);
  };
  const auto add_address = [&](const ruleset::AddressTest& test) {
    if (test.mask.high == 0 && test.mask.low == 0) return;
    const auto length = prefix_length(test.mask);
    IpAddress first = test.address;
    if (length && *length < address_bits(first.family)) first.low |= 1;
    add_to(addresses, first);
  };
  for (const ruleset::Table& table : rules.tables) {
    for (const ruleset::Chain& chain : table.chains) {
      for (const ruleset::Rule& rule : chain.rules) {
        add_address(rule.header.destination);
        add_address(rule.header.source);
        for (const ruleset::Match& match : rule.matches) {
          if (const auto* tcp = std::get_if<ruleset::TcpMatch>(&match); tcp != nullptr && !tcp->destination.is_any()) {
            add_to(ports, tcp->destination.first);
          }
          if (const auto* udp = std::get_if<ruleset::UdpMatch>(&match); udp != nullptr && !udp->destination.is_any()) {
            add_to(ports, udp->destination.first);
          }
          if (const auto* owner = std::get_if<ruleset::OwnerMatch>(&match); owner != nullptr && owner->uid) {
            add_to(users, Uid{owner->uid->first});
          }
        }
      }
    }
  }
}

Packet plainest(const Bdd& set, const PacketSpace& space, Hook hook, const Familiar& familiar) {
  Wishes wishes(set, space);
  prefer_flow_and_interfaces(wishes, space, hook, familiar);
  prefer_owner(wishes, space, familiar);
  prefer_protocol(wishes, space);
  prefer_addresses(wishes, space, familiar);
  prefer_transport(wishes, space, familiar);
  prefer_rest(wishes, space, hook);
  return space.packet(wishes.set().some_assignment(), hook);
}

}  // namespace tails::proof
