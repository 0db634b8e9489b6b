#include "tests/kernel/near_rules.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <variant>

#include "tests/kernel/harness/testbed.h"

namespace tails::testbed {
namespace {

using namespace ruleset;

constexpr std::array<std::pair<std::string_view, Hook>, 3> kHooks = {
    {{"INPUT", Hook::kInput}, {"FORWARD", Hook::kForward}, {"OUTPUT", Hook::kOutput}}};

constexpr size_t kMeetings = 3;     // packets that meet a rule, for each of its turns
constexpr size_t kHeaderTests = 5;  // interfaces, addresses, protocol
constexpr size_t kStates = 4;       // INVALID, ESTABLISHED, RELATED, NEW

constexpr std::array<uint8_t, 8> kProtocols = {protocol::kTcp,  protocol::kUdp,    protocol::kIcmp,    protocol::kDccp,
                                               protocol::kSctp, protocol::kIcmpv6, protocol::kUdplite, 47 /* GRE */};

/// Addresses that a policy need not name for them to matter.
const std::vector<IpAddress> kPlacesV4 = {
    kLoopbackV4,
    IpAddress::v4(127, 0, 0, 2),
    IpAddress::v4(127, 191, 255, 255),
    IpAddress::v4(127, 192, 0, 0),
    IpAddress::v4(127, 255, 255, 255),
    IpAddress::v4(128, 0, 0, 0),
    IpAddress::v4(126, 255, 255, 255),
    kHostInternet,
    kHostLan,
    kGateway,
    kInternet,
    kOtherInternet,
    kLanNeighbour,
    kLanResolver,
    kFarLan,
    kOtherFarLan,
    IpAddress::v4(255, 255, 255, 255),
    IpAddress::v4(192, 168, 50, 255),
    IpAddress::v4(224, 0, 0, 251),
    IpAddress::v4(239, 255, 255, 250),
    IpAddress::v4(169, 254, 1, 1),
    IpAddress::v4(10, 200, 1, 2),
    IpAddress::v4(10, 200, 1, 18),
};
const std::vector<IpAddress> kPlacesV6 = {
    kLoopbackV6,
    kHostV6,
    kHostLanV6,
    kInternetV6,
    IpAddress::v6(0, 2),
    IpAddress::v6(0xfe80000000000000, 1),
    IpAddress::v6(0xff02000000000000, 1),
    IpAddress::v6(0, 0x0000ffff7f000001),  // ::ffff:127.0.0.1
};

IpAddress moved(IpAddress address, int64_t by) {
  address.low += static_cast<uint64_t>(by);
  if (address.family == Family::kIpv4) address.low &= 0xFFFFFFFF;
  return address;
}

}  // namespace

NearRules::NearRules(const RuleSet& rules, std::vector<Uid> users, const std::vector<std::string>& guests,
                     uint64_t seed)
    : random_(seed),
      users_(std::move(users)),
      addresses_v4_(kPlacesV4),
      addresses_v6_(kPlacesV6),
      ports_{0, 1, 22, 53, 80, 443, 1023, 1024, 5353, 9040, 65534, 65535} {
  for (const char* name : {"lo", "eth0", "eth1"}) interfaces_.push_back(*InterfaceName::make(name));
  for (const std::string& guest : guests) interfaces_.push_back(*InterfaceName::make("veth-" + guest));
  for (const Table& table : rules.tables) {
    for (const Chain& chain : table.chains) {
      for (const Rule& rule : chain.rules) add_corners(rule);
      const auto hook = std::ranges::find(kHooks, chain.name, [](const auto& h) { return h.first; });
      if (hook == kHooks.end() || !chain.is_builtin()) continue;
      Way way{table.family, hook->second, {}};
      policies_.push_back(way);
      add_ways(table, chain, way);
    }
  }
}

void NearRules::add_ways(const Table& table, const Chain& chain, Way& so_far) {
  constexpr size_t kDeepest = 8;
  for (const Rule& rule : chain.rules) {
    so_far.path.push_back(&rule);
    ways_.push_back(so_far);
    const auto* jump = std::get_if<Jump>(&rule.target);
    const Chain* next = jump == nullptr ? nullptr : table.find(jump->chain);
    if (next != nullptr && so_far.path.size() < kDeepest) add_ways(table, *next, so_far);
    so_far.path.pop_back();
  }
}

void NearRules::add_corners(const Rule& rule) {
  if (std::holds_alternative<Masquerade>(rule.target)) masqueraded_.push_back(rule.header.source);
  for (const AddressTest& test : {rule.header.source, rule.header.destination}) {
    if (test.is_any()) continue;
    IpAddress last = test.address;
    last.high |= ~test.mask.high;
    last.low |= ~test.mask.low;
    if (last.family == Family::kIpv4) last = IpAddress::v4(static_cast<uint32_t>(last.low));
    auto& addresses = last.family == Family::kIpv4 ? addresses_v4_ : addresses_v6_;
    for (const IpAddress& corner : {test.address, last, moved(test.address, -1), moved(last, 1)}) {
      if (corner.family == Family::kIpv4 && corner.low == 0) continue;  // "this host" is no destination
      addresses.push_back(corner);
    }
  }
  const auto add = [this](const PortRange& range) {
    if (range.is_any()) return;
    for (const int port : {range.first - 1, int{range.first}, int{range.last}, range.last + 1}) {
      if (port >= 0 && port <= 65535) ports_.push_back(static_cast<Port>(port));
    }
  };
  for (const Match& match : rule.matches) {
    if (const auto* tcp = std::get_if<TcpMatch>(&match)) add(tcp->source), add(tcp->destination);
    if (const auto* udp = std::get_if<UdpMatch>(&match)) add(udp->source), add(udp->destination);
    if (const auto* multi = std::get_if<MultiportMatch>(&match)) std::ranges::for_each(multi->ports, add);
  }
}

IpAddress NearRules::corner_address(Family family) {
  if (family == Family::kIpv6) return one_of(addresses_v6_);
  if (chance(15)) return IpAddress::v4(static_cast<uint32_t>(1 + below(0xFFFFFFFE)));
  return one_of(addresses_v4_);
}

Port NearRules::corner_port() { return chance(80) ? one_of(ports_) : static_cast<Port>(below(65536)); }

Port NearRules::port_in(const PortRange& range) {
  switch (below(3)) {
    case 0: return range.first;
    case 1: return range.last;
    default: return static_cast<Port>(range.first + below(uint64_t{range.last} - range.first + 1));
  }
}

IpAddress NearRules::inside(const AddressTest& test) {
  const uint64_t fill_high = chance(40) ? 0 : (chance(40) ? ~uint64_t{0} : random_());
  const uint64_t fill_low = fill_high == 0 || ~fill_high == 0 ? fill_high : random_();
  IpAddress address{test.address.family, (test.address.high & test.mask.high) | (fill_high & ~test.mask.high),
                    (test.address.low & test.mask.low) | (fill_low & ~test.mask.low)};
  if (address.family == Family::kIpv4) address = IpAddress::v4(static_cast<uint32_t>(address.low));
  return address;
}

uint8_t NearRules::some_flags() {
  using namespace tcp_flag;
  static const std::vector<uint8_t> kUsual = {kSyn,        kSyn,        kSyn,        kSyn,       kSyn | 0xC0, kAck,
                                              kAck | kPsh, kSyn | kAck, kFin | kAck, kRst,       kRst | kAck, 0,
                                              0xFF,        kSyn | kFin, kSyn | kRst, kSyn | kUrg};
  return chance(90) ? one_of(kUsual) : static_cast<uint8_t>(below(256));
}

Packet NearRules::any(Family family, Hook hook) {
  Packet packet;
  packet.hook = hook;
  packet.protocol =
      chance(75) ? (chance(65) ? protocol::kTcp : protocol::kUdp) : kProtocols.at(below(kProtocols.size()));
  if (family == Family::kIpv6 && packet.protocol == protocol::kIcmp) packet.protocol = protocol::kIcmpv6;
  packet.source = packet.destination = corner_address(family);
  packet.destination_port = corner_port();
  packet.source_port = chance(20) ? corner_port() : static_cast<Port>(20000 + below(40000));
  packet.tcp_flags = some_flags();
  static const std::vector<uint8_t> kIcmpTypes = {0, 3, 4, 5, 8, 11, 12, 13, 30};
  static const std::vector<uint8_t> kIcmpv6Types = {1, 2, 3, 4, 128, 129, 133, 135, 143};
  packet.icmp_type = one_of(family == Family::kIpv4 ? kIcmpTypes : kIcmpv6Types);
  packet.icmp_code = static_cast<uint8_t>(below(5));
  packet.out = one_of(interfaces_);
  packet.in = one_of(interfaces_);
  if (chance(90)) packet.uid = one_of(users_);
  static const std::vector<ConnState> kStates = {ConnState::kNew,         ConnState::kNew,     ConnState::kNew,
                                                 ConnState::kEstablished, ConnState::kRelated, ConnState::kInvalid};
  packet.state = one_of(kStates);
  packet.direction = chance(30) ? Direction::kReply : Direction::kOriginal;
  return packet;
}

void NearRules::meet(const Match& match, Packet& packet) {
  const auto meet_ports = [&](const auto& ports) {
    if (!ports.source.is_any()) packet.source_port = port_in(ports.source);
    if (!ports.destination.is_any()) packet.destination_port = port_in(ports.destination);
  };
  if (const auto* tcp = std::get_if<TcpMatch>(&match)) {
    meet_ports(*tcp);
    if (tcp->flag_mask != 0) {
      const bool same = !tcp->flags_inverted;
      const uint8_t wrong = same ? 0 : static_cast<uint8_t>(tcp->flag_mask & (chance(60) ? tcp_flag::kAck : random_()));
      packet.tcp_flags = static_cast<uint8_t>((packet.tcp_flags & ~tcp->flag_mask) | (tcp->flag_compare ^ wrong));
      if (same && chance(70)) packet.tcp_flags = tcp->flag_compare;
    }
  } else if (const auto* udp = std::get_if<UdpMatch>(&match)) {
    meet_ports(*udp);
  } else if (const auto* icmp = std::get_if<IcmpMatch>(&match)) {
    if (icmp->type) packet.icmp_type = *icmp->type;
    packet.icmp_code = icmp->code_min;
  } else if (const auto* multi = std::get_if<MultiportMatch>(&match)) {
    Port& port = multi->side == MultiportMatch::Side::kSource ? packet.source_port : packet.destination_port;
    port = port_in(one_of(multi->ports));
  } else if (const auto* owner = std::get_if<OwnerMatch>(&match)) {
    if (owner->uid) packet.uid = Uid{owner->uid->first};
  } else if (const auto* state = std::get_if<StateMatch>(&match)) {
    for (int tries = 0; tries < 50 && !state->states.contains(packet.state); ++tries) {
      packet.state = static_cast<ConnState>(1 << below(4));
    }
  } else if (const auto* conntrack = std::get_if<ConntrackMatch>(&match)) {
    if (conntrack->direction) packet.direction = *conntrack->direction;
    for (int tries = 0;
         tries < 50 && conntrack->state_mask && (*conntrack->state_mask & static_cast<uint16_t>(packet.state)) == 0;
         ++tries) {
      packet.state = static_cast<ConnState>(1 << below(4));
    }
  }
  // Other matches do not occur in a policy's rules.
}

void NearRules::meet(const Rule& rule, Packet& packet) {
  const HeaderTest& header = rule.header;
  if (!header.source.is_any() && !header.source.inverted) packet.source = inside(header.source);
  if (!header.destination.is_any() && !header.destination.inverted) packet.destination = inside(header.destination);
  const auto meet_interface = [&](const InterfaceTest& test, InterfaceName& name) {
    for (int tries = 0; tries < 50 && !test.is_any() && !test.matches(name); ++tries) name = one_of(interfaces_);
  };
  meet_interface(header.in, packet.in);
  meet_interface(header.out, packet.out);
  for (int tries = 0;
       tries < 50 && header.protocol != 0 && (packet.protocol == header.protocol) == header.protocol_inverted;
       ++tries) {
    packet.protocol = header.protocol_inverted ? kProtocols.at(below(kProtocols.size())) : header.protocol;
  }
  for (const Match& match : rule.matches) meet(match, packet);
}

IpAddress NearRules::outside(const AddressTest& test) {
  for (int tries = 0; tries < 50; ++tries) {
    IpAddress address = inside(test);
    switch (below(3)) {
      case 0: address = moved(test.address, -1); break;
      case 1: {  // the first behind
        IpAddress last = test.address;
        last.low |= ~test.mask.low;
        address = moved(last, 1);
        break;
      }
      default: address = corner_address(test.address.family);
    }
    if (!test.matches(address)) return address;
  }
  return corner_address(test.address.family);
}

void NearRules::miss_ports(const PortRange& source, const PortRange& destination, Packet& packet) {
  const auto beside = [this](const PortRange& range, Port& port) {
    if (range.is_any()) return;
    port = static_cast<Port>(chance(50) ? range.first - 1 : range.last + 1);
  };
  beside(destination, packet.destination_port);
  if (destination.is_any()) beside(source, packet.source_port);
}

void NearRules::miss(const Match& match, Packet& packet) {
  if (const auto* tcp = std::get_if<TcpMatch>(&match)) {
    const bool has_ports = !tcp->source.is_any() || !tcp->destination.is_any();
    if (has_ports && (tcp->flag_mask == 0 || chance(50))) {
      miss_ports(tcp->source, tcp->destination, packet);
    } else if (tcp->flags_inverted) {
      packet.tcp_flags = tcp->flag_compare;
    } else {
      packet.tcp_flags = chance(60) ? tcp_flag::kAck : some_flags();
    }
  } else if (const auto* udp = std::get_if<UdpMatch>(&match)) {
    miss_ports(udp->source, udp->destination, packet);
  } else if (const auto* multi = std::get_if<MultiportMatch>(&match)) {
    miss_ports({}, one_of(multi->ports), packet);
  } else if (const auto* owner = std::get_if<OwnerMatch>(&match); owner != nullptr && owner->uid) {
    const uint32_t id = owner->uid->first;
    packet.uid =
        std::vector<std::optional<Uid>>{Uid{id + 1}, Uid{id == 0 ? 1 : id - 1}, std::nullopt, one_of(users_)}[below(4)];
  } else if (const auto* conntrack = std::get_if<ConntrackMatch>(&match);
             conntrack != nullptr && conntrack->direction) {
    packet.direction = *conntrack->direction == Direction::kReply ? Direction::kOriginal : Direction::kReply;
  }
}

bool NearRules::miss(const Rule& rule, size_t test, Packet& packet) {
  const HeaderTest& header = rule.header;
  const auto other_interface = [&](const InterfaceTest& interface, InterfaceName& name) {
    if (interface.is_any()) return false;
    for (int tries = 0; tries < 50 && interface.matches(name); ++tries) name = one_of(interfaces_);
    return true;
  };
  if (test >= kHeaderTests + kStates) {
    const Match& match = rule.matches.at(test - kHeaderTests - kStates);
    if (std::holds_alternative<StateMatch>(match)) return false;  // each state has a turn of its own
    miss(match, packet);
    return true;
  }
  if (test >= kHeaderTests) {
    const auto state = static_cast<ConnState>(1 << (test - kHeaderTests));
    const bool is_missed = std::ranges::any_of(rule.matches, [&](const Match& match) {
      const auto* states = std::get_if<StateMatch>(&match);
      return states != nullptr && !states->states.contains(state);
    });
    if (is_missed) packet.state = state;
    return is_missed;
  }
  switch (test) {
    case 0: return other_interface(header.in, packet.in);
    case 1: return other_interface(header.out, packet.out);
    case 2:
      if (header.source.is_any()) return false;
      packet.source = outside(header.source);
      return true;
    case 3:
      if (header.destination.is_any()) return false;
      packet.destination = outside(header.destination);
      // Or it would not come to INPUT.
      if (packet.hook == Hook::kInput && packet.family() == Family::kIpv4) packet.destination = kHostInternet;
      return true;
    case 4:
      if (header.protocol == 0) return false;
      packet.protocol = header.protocol_inverted            ? header.protocol
                        : header.protocol == protocol::kTcp ? protocol::kUdp
                                                            : protocol::kTcp;
      return true;
    default: return false;
  }
}

void NearRules::change_one_field(Packet& packet) {
  switch (below(9)) {
    case 0: packet.destination = corner_address(packet.family()); break;
    case 1: packet.destination = moved(packet.destination, chance(50) ? 1 : -1); break;
    case 2:
      packet.destination_port = chance(50) ? corner_port() : static_cast<Port>(packet.destination_port + 1);
      break;
    case 3: packet.source_port = corner_port(); break;
    case 4: packet.uid = chance(30) ? std::nullopt : std::optional(one_of(users_)); break;
    case 5: packet.tcp_flags = some_flags(); break;
    case 6: packet.out = one_of(interfaces_); break;
    case 7: packet.protocol = kProtocols.at(below(kProtocols.size())); break;
    default: packet.state = static_cast<ConnState>(1 << below(4)); break;
  }
}

void NearRules::choose_source(Packet& packet) {
  const bool is_v4 = packet.family() == Family::kIpv4;
  if (chance(15)) {
    packet.source = corner_address(packet.family());
  } else if (packet.hook == Hook::kOutput) {
    if (packet.out.is_loopback()) {
      packet.source = is_v4 ? kLoopbackV4 : kLoopbackV6;
    } else {
      packet.source = is_v4 ? (packet.out.view() == "eth1" ? kHostLan : kHostInternet) : kHostV6;
    }
  } else {
    packet.source = is_v4 ? (packet.in.view() == "eth0" ? kInternet : kLanNeighbour) : kInternetV6;
    for (const Testbed::Guest& guest : tails_guests()) {
      if (is_v4 && packet.in.view() == "veth-" + guest.name) packet.source = moved(guest.host, 1);
    }
  }
}

void NearRules::make_possible(Packet& packet) {
  if (packet.hook != Hook::kOutput && packet.in.is_loopback()) {
    // What comes in by loopback went out by it.
    packet.hook = Hook::kOutput;
    packet.out = kLoopbackInterface;
  }
  if (packet.hook == Hook::kOutput) {
    packet.in = {};
    if (packet.uid && chance(30)) packet.out = {};  // as the routes say
    // From loopback to loopback by a cable: where nat redirects it, it has no route any more and is dropped in nat.
    if (!packet.out.is_loopback() && kLoopbackNetV4.contains(packet.source)) packet.source = kHostInternet;
  } else {
    for (const Testbed::Guest& guest : tails_guests()) {
      if (packet.hook == Hook::kForward && packet.out.view() == "veth-" + guest.name && chance(70)) {
        packet.destination = moved(guest.host, 1);  // so that the routes agree
      }
    }
    packet.out = {};
    packet.uid.reset();
  }
  if (packet.source.family != packet.destination.family) packet.source = packet.destination;
  // Answers to a masqueraded source cannot be routed back into loopback, and nat drops them: nothing that the rules
  // say.
  if (packet.hook == Hook::kOutput &&
      std::ranges::any_of(masqueraded_, [&](const AddressTest& test) { return test.matches(packet.source); })) {
    packet.source = packet.out.is_loopback() ? kLoopbackV4 : kHostInternet;
  }
  packet.gid = packet.uid ? std::optional(Gid{packet.uid->value}) : std::nullopt;
  const bool has_ports = packet.protocol == protocol::kTcp || packet.protocol == protocol::kUdp;
  if (!has_ports) packet.source_port = packet.destination_port = 0;
  if (packet.protocol != protocol::kTcp) packet.tcp_flags = 0;
  if (!packet.is_icmp()) packet.icmp_type = packet.icmp_code = 0;
  if (packet.is_icmp() && chance(80)) {  // else conntrack calls it INVALID
    const bool is_v4 = packet.family() == Family::kIpv4;
    const bool is_reply = packet.direction == Direction::kReply;
    if (packet.state == ConnState::kEstablished) packet.icmp_type = is_v4 ? (is_reply ? 0 : 8) : (is_reply ? 129 : 128);
    if (packet.state == ConnState::kRelated) packet.icmp_type = is_v4 ? 3 : 1;
  }
}

Packet NearRules::next() {
  const bool is_near_policy = chance(10);
  const Way& way = is_near_policy ? one_of(policies_) : ways_[next_way_];
  Packet packet = any(way.family, way.hook);
  if (is_near_policy && way.hook == Hook::kInput && chance(60)) {
    static const std::vector<IpAddress> kOwn = {kHostInternet, kHostLan, kHostV6, kHostLanV6};
    packet.destination = one_of(kOwn);
  }
  for (const Rule* rule : way.path) meet(*rule, packet);
  const bool names_source =
      std::ranges::any_of(way.path, [](const Rule* rule) { return !rule->header.source.is_any(); });
  if (!names_source) choose_source(packet);

  if (!is_near_policy) {
    // Each rule in turn: met, then missed by each of its tests.
    const Rule& rule = *way.path.back();
    const size_t turns = kMeetings + kHeaderTests + kStates + rule.matches.size();
    bool is_chosen = next_test_ < kMeetings;
    while (!is_chosen && next_test_ < turns) {
      is_chosen = miss(rule, next_test_ - kMeetings, packet);
      if (!is_chosen) ++next_test_;
    }
    ++next_test_;
    if (next_test_ >= turns) {
      next_test_ = 0;
      next_way_ = (next_way_ + 1) % ways_.size();
    }
  }
  if (chance(10)) change_one_field(packet);
  make_possible(packet);
  return packet;
}

}  // namespace tails::testbed
