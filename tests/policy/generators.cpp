#include "tests/policy/generators.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "policy/decide.h"
#include "policy/read.h"
#include "tests/policy/fixed_environment.h"

namespace tails::testing {
namespace {

using namespace policy;

constexpr IpAddress kSomewhere = IpAddress::v4(203, 0, 113, 7);  // RFC 5737

IpAddress beside(const IpAddress& address, int64_t offset) {
  IpAddress moved = address;
  moved.low += static_cast<uint64_t>(offset);
  if (moved.family == Family::kIpv4) moved.low &= 0xFFFFFFFF;
  return moved;
}

IpAddress last_of(const Prefix& prefix) {
  IpAddress last = prefix.address();
  const IpAddress mask = prefix.mask();
  last.low |= ~mask.low;
  last.high |= ~mask.high;
  if (last.family == Family::kIpv4) last = IpAddress::v4(static_cast<uint32_t>(last.low));
  return last;
}

// ---- Policies ----

const std::array kUsers = {User{"zero", Uid{0}},         User{"one", Uid{1}},    User{"two", Uid{2}},
                           User{"three", Uid{3}},        User{"four", Uid{4}},   User{"five", Uid{1000}},
                           User{"alias", Uid{1000}},     User{"six", Uid{1001}}, User{"seven", Uid{65534}},
                           User{"last", Uid{4294967294}}};
constexpr std::array<Port, 14> kPorts = {1, 22, 52, 53, 54, 137, 138, 5353, 6000, 9040, 9050, 9051, 32767, 65535};

Port random_port(Dice& dice) { return dice.chance(90) ? dice.pick(kPorts) : static_cast<Port>(1 + dice.below(65535)); }

PortRange random_range(Dice& dice) {
  const Port a = random_port(dice);
  if (dice.chance(60)) return PortRange::one(a);
  const Port b = random_port(dice);
  return {std::min(a, b), std::max(a, b)};
}

PortGrant random_grant(Dice& dice) {
  const uint8_t number = dice.chance(60) ? protocol::kTcp : protocol::kUdp;
  if (dice.chance(15)) return {number, {}};
  return {number, random_range(dice)};
}

std::vector<PortGrant> random_grants(Dice& dice, size_t most) {
  std::vector<PortGrant> grants(dice.below(most + 1));
  std::ranges::generate(grants, [&] { return random_grant(dice); });
  return grants;
}

std::vector<User> random_users(Dice& dice, size_t most) {
  std::vector<User> users(dice.below(most + 1));
  std::ranges::generate(users, [&] { return dice.pick(kUsers); });
  return users;
}

Origin line(uint32_t number, std::string entry) { return {"random.toml", number, std::move(entry)}; }

std::optional<Tor> random_tor(Dice& dice) {
  if (dice.chance(10)) return std::nullopt;
  Tor tor;
  tor.user = dice.pick(kUsers);
  tor.out = random_grants(dice, 3);
  tor.lan = dice.chance(80);
  tor.lan_dns = dice.chance(50);
  if (dice.chance(80)) tor.trans_port = random_port(dice);
  if (dice.chance(80)) tor.dns_port = random_port(dice);
  tor.redirect_dns = tor.dns_port && *tor.dns_port != 53 && dice.chance(80);
  constexpr std::array kNets = {*Prefix::make(IpAddress::v4(127, 192, 0, 0), 10),
                                *Prefix::make(IpAddress::v4(127, 128, 0, 0), 9),
                                *Prefix::make(IpAddress::v4(127, 0, 0, 8), 29)};
  if (tor.trans_port && dice.chance(80)) tor.automap = dice.pick(kNets);
  tor.origin = line(2, "[tor]");
  tor.automap_origin = line(3, "[tor] automap");
  tor.redirect_dns_origin = line(4, "[tor] redirect_dns");
  return tor;
}

Service random_service(Dice& dice, const std::optional<Tor>& tor, uint32_t number) {
  constexpr std::array kAt = {
      kLoopbackV4, kLoopbackV4, kLoopbackV4, IpAddress::v4(127, 0, 0, 2), IpAddress::v4(127, 255, 255, 255),
      kLoopbackV6};
  Service service;
  service.name = fmt::format("service {}", number);
  do {
    service.at = dice.pick(kAt);
  } while (tor && tor->automap && tor->automap->contains(service.at));
  service.ports = random_grants(dice, 3);
  if (dice.chance(4)) {  // more than one multiport match can carry
    while (service.ports.size() < 20) service.ports.push_back({protocol::kTcp, random_range(dice)});
  }
  if (dice.chance(15)) service.from = {random_range(dice)};
  if (dice.chance(5)) service.from.push_back(random_range(dice));
  service.allow = random_users(dice, 3);
  service.deny = random_users(dice, 2);
  std::erase_if(service.deny, [&](const User& denied) {
    return std::ranges::find(service.allow, denied.uid, &User::uid) != service.allow.end();
  });
  service.is_active = dice.chance(85);
  service.origin = line(100 + number, fmt::format("service \"{}\"", service.name));
  return service;
}

Namespace random_namespace(Dice& dice, uint32_t number) {
  Namespace space;
  space.name = fmt::format("n{}", number);
  space.interface = *InterfaceName::make("veth-" + space.name);
  const bool is_private = dice.chance(70);
  // One /24 each, so that none overlaps another.
  const IpAddress base = is_private ? IpAddress::v4(10, 200, static_cast<uint8_t>(number), 0)
                                    : IpAddress::v4(198, 51, static_cast<uint8_t>(100 + number), 0);
  constexpr std::array kLengths = {24U, 29U, 30U, 31U};
  const unsigned length = dice.pick(kLengths);
  space.network = *Prefix::make(base, length);
  space.host = beside(base, length == 31 ? 0 : 1);
  space.guest = beside(space.host, 1);
  space.services = random_grants(dice, 3);
  space.internet = dice.chance(40);
  space.origin = line(200 + number, fmt::format("namespace \"{}\"", space.name));
  return space;
}

}  // namespace

Policy profile(std::string_view name, bool has_i2p) {
  FixedEnvironment environment;
  environment.users = profile_users();
  if (has_i2p) environment.paths.insert("/usr/share/i2p");
  auto loaded = load(name, environment);
  if (!loaded) {
    fmt::print(stderr, "{}\n", loaded.error().message);
    std::abort();
  }
  return std::move(loaded->policy);
}

Policy random_policy(Dice& dice) {
  Policy policy;
  policy.name = policy.source = "random.toml";
  policy.origin = line(0, "default");
  policy.tor = random_tor(dice);
  if (dice.chance(90) || (policy.tor && policy.tor->automap)) policy.live = dice.pick(kUsers);
  for (size_t i = dice.below(4); i > 0; --i) {
    Direct direct{dice.pick(kUsers), random_grants(dice, 3), dice.chance(75), dice.chance(50), dice.chance(80), {}};
    direct.origin = line(static_cast<uint32_t>(50 + i), "direct \"" + direct.user.name.str() + "\"");
    policy.direct.push_back(std::move(direct));
  }
  constexpr std::array kNets = {
      *Prefix::make(IpAddress::v4(10, 0, 0, 0), 8),     *Prefix::make(IpAddress::v4(10, 64, 0, 0), 10),
      *Prefix::make(IpAddress::v4(192, 168, 0, 0), 16), *Prefix::make(IpAddress::v4(198, 51, 100, 0), 24),
      Prefix::host(IpAddress::v4(192, 0, 2, 1)),        Prefix::host(IpAddress::v4(255, 255, 255, 255))};
  for (size_t i = dice.below(4); i > 0; --i) policy.lan.networks.push_back(dice.pick(kNets));
  policy.lan.closed = random_grants(dice, 3);
  policy.lan.origin = line(10, "[lan]");
  policy.lan.closed_origin = line(11, "[lan] closed");
  for (auto i = static_cast<uint32_t>(dice.below(7)); i > 0; --i) {
    policy.services.push_back(random_service(dice, policy.tor, i));
  }
  for (auto i = static_cast<uint32_t>(dice.below(4)); i > 0; --i) {
    policy.namespaces.push_back(random_namespace(dice, i));
  }
  policy.related_icmp_on_loopback = dice.chance(70);
  policy.states_origin = line(20, "[states]");
  policy.blocked.log = static_cast<Blocked::LogTo>(dice.below(3));
  policy.blocked.nflog_group = 5;
  policy.blocked.answer = dice.chance(70) ? Blocked::Answer::kReject : Blocked::Answer::kDrop;
  if (dice.chance(20)) policy.blocked.log_limit = ruleset::LimitMatch{500, 100};
  policy.blocked.origin = line(30, "[blocked]");
  return policy;
}

// ---- Packets ----

PacketGenerator::PacketGenerator(const Policy& policy, uint64_t seed) : dice_(seed), policy_(policy) {
  const auto add_prefix = [&](const Prefix& prefix) {
    auto& addresses = prefix.family() == Family::kIpv4 ? v4_addresses_ : v6_addresses_;
    const IpAddress first = prefix.address();
    const IpAddress last = last_of(prefix);
    for (const IpAddress& edge :
         {first, last, beside(first, 1), beside(last, -1), beside(first, -1), beside(last, 1)}) {
      addresses.push_back(edge);
    }
  };
  const auto add_port = [&](Port port) {
    for (const int offset : {0, 0, -1, 1}) ports_.push_back(static_cast<Port>(port + offset));
  };
  const auto add_grants = [&](const std::vector<PortGrant>& grants) {
    for (const PortGrant& grant : grants) {
      add_port(grant.ports.first);
      if (grant.ports.first != grant.ports.last) add_port(grant.ports.last);
    }
  };
  const auto add_user = [&](const User& user) {
    uids_.emplace_back(user.uid);
    uids_.emplace_back(user.uid);
    uids_.emplace_back(Uid{user.uid.value + 1});
    uids_.emplace_back(Uid{user.uid.value - 1});
  };

  add_prefix(kLoopbackNetV4);
  add_prefix(Prefix::host(kLoopbackV4));
  add_prefix(Prefix::host(kLoopbackV6));
  v4_addresses_.push_back(kSomewhere);
  v6_addresses_.push_back(*IpAddress::parse("2001:db8::7"));  // RFC 3849
  v6_addresses_.push_back(*IpAddress::parse("::ffff:127.0.0.1"));
  v6_addresses_.push_back(kLoopbackV6);
  v6_addresses_.push_back(kLoopbackV6);
  for (const Prefix& network : policy.lan.networks) add_prefix(network);
  for (const char* name : {"lo", "lo", "eth0", "wlan0", "l", "lo0", "veth", "veth-"}) {
    interfaces_.push_back(*InterfaceName::make(name));
  }
  interfaces_.emplace_back();
  uids_.emplace_back(std::nullopt);
  uids_.emplace_back(Uid{0});
  add_port(53);
  add_port(0);
  if (policy.tor) {
    add_user(policy.tor->user);
    add_grants(policy.tor->out);
    if (policy.tor->automap) add_prefix(*policy.tor->automap);
    if (policy.tor->dns_port) add_port(*policy.tor->dns_port);
    if (policy.tor->trans_port) add_port(*policy.tor->trans_port);
  }
  if (policy.live) add_user(*policy.live);
  for (const Direct& direct : policy.direct) {
    add_user(direct.user);
    add_grants(direct.out);
  }
  add_grants(policy.lan.closed);
  for (const Service& service : policy.services) {
    add_prefix(Prefix::host(service.at));
    add_grants(service.ports);
    for (const PortRange& range : service.from) {
      add_port(range.first);
      add_port(range.last);
    }
    for (const User& user : service.allow) add_user(user);
    for (const User& user : service.deny) add_user(user);
  }
  for (const Namespace& space : policy.namespaces) {
    add_prefix(space.network);
    add_prefix(Prefix::host(space.host));
    add_grants(space.services);
    interfaces_.push_back(space.interface);
    interfaces_.push_back(space.interface);
    const std::string name(space.interface.view());
    interfaces_.push_back(*InterfaceName::make(name.substr(0, name.size() - 1)));
    if (const auto longer = InterfaceName::make(name + "x")) interfaces_.push_back(*longer);
  }
}

IpAddress PacketGenerator::address(Family family) {
  if (family == Family::kIpv6) {
    return dice_.chance(95) ? dice_.pick(v6_addresses_) : IpAddress::v6(dice_.bits(), dice_.bits());
  }
  return dice_.chance(90) ? dice_.pick(v4_addresses_) : IpAddress::v4(static_cast<uint32_t>(dice_.bits()));
}

Packet PacketGenerator::anything() {
  constexpr std::array<uint8_t, 9> kFlags = {0x02, 0x02, 0x02, 0xC2, 0x12, 0x10, 0x04, 0x03, 0x0A};
  constexpr std::array kStates = {ConnState::kNew,         ConnState::kNew,         ConnState::kNew,
                                  ConnState::kEstablished, ConnState::kEstablished, ConnState::kRelated,
                                  ConnState::kInvalid,     ConnState::kUntracked};
  Packet packet;
  const size_t hook = dice_.below(10);
  packet.hook = hook < 7 ? Hook::kOutput : (hook < 8 ? Hook::kInput : Hook::kForward);
  const Family family = dice_.chance(80) ? Family::kIpv4 : Family::kIpv6;
  const uint8_t icmp = family == Family::kIpv4 ? protocol::kIcmp : protocol::kIcmpv6;
  const std::array<uint8_t, 9> protocols = {protocol::kTcp,  protocol::kTcp,     protocol::kTcp,
                                            protocol::kUdp,  protocol::kUdp,     icmp,
                                            protocol::kSctp, protocol::kUdplite, static_cast<uint8_t>(dice_.bits())};
  packet.protocol = dice_.pick(protocols);
  packet.source = address(family);
  packet.destination = address(family);
  packet.source_port = dice_.chance(50) ? dice_.pick(ports_) : static_cast<Port>(dice_.bits());
  packet.destination_port = dice_.chance(90) ? dice_.pick(ports_) : static_cast<Port>(dice_.bits());
  packet.tcp_flags = dice_.chance(90) ? dice_.pick(kFlags) : static_cast<uint8_t>(dice_.bits());
  packet.icmp_type = static_cast<uint8_t>(dice_.below(16));
  packet.icmp_code = static_cast<uint8_t>(dice_.below(5));
  packet.later_fragment = dice_.chance(1);
  if (packet.hook != Hook::kOutput) packet.in = dice_.pick(interfaces_);
  if (packet.hook != Hook::kInput) packet.out = dice_.pick(interfaces_);
  if (packet.hook == Hook::kOutput) packet.uid = dice_.pick(uids_);
  if (packet.uid) packet.gid = Gid{packet.uid->value};
  packet.state = dice_.pick(kStates);
  packet.direction = dice_.chance(75) ? Direction::kOriginal : Direction::kReply;
  if (dice_.chance(8)) packet.recorded_nat = Endpoint{address(family), dice_.pick(ports_)};
  return packet;
}

/// Makes the packet one that some entry speaks of.
void PacketGenerator::aim(Packet& packet) {
  const auto at_port = [&](const std::vector<PortGrant>& grants) {
    if (grants.empty()) return;
    const PortGrant& grant = dice_.pick(grants);
    packet.protocol = grant.protocol;
    packet.destination_port = static_cast<Port>(
        grant.ports.first + dice_.below(static_cast<size_t>(grant.ports.last - grant.ports.first) + 1));
  };
  const auto by = [&](Uid uid) {
    packet.uid = uid;
    packet.gid = Gid{uid.value};
  };
  const auto open = [&](Hook hook) {
    const bool was_v4 = packet.family() == Family::kIpv4;
    packet.hook = hook;
    packet.state = dice_.chance(80) ? ConnState::kNew : ConnState::kEstablished;
    packet.direction = Direction::kOriginal;
    packet.tcp_flags = tcp_flag::kSyn;
    packet.recorded_nat.reset();
    if (!was_v4) packet.source = packet.destination = kSomewhere;
    if (hook == Hook::kOutput) packet.in = {};
    if (hook == Hook::kInput) packet.out = {};
    if (hook != Hook::kOutput) {
      packet.uid.reset();
      packet.gid.reset();
    }
  };
  const InterfaceName eth0 = *InterfaceName::make("eth0");
  const size_t kind = dice_.below(6);
  if (kind <= 1 && !policy_.services.empty()) {
    const Service& service = dice_.pick(policy_.services);
    open(Hook::kOutput);
    packet.out = kLoopbackInterface;
    packet.destination = packet.source = service.at;
    at_port(service.ports);
    if (!service.from.empty()) packet.source_port = dice_.pick(service.from).first;
    const std::vector<User>& users = dice_.chance(70) ? service.allow : service.deny;
    if (!users.empty()) by(dice_.pick(users).uid);
    if (service.at == kLoopbackV6 && dice_.chance(25)) {
      open(Hook::kInput);
      packet.in = kLoopbackInterface;
      packet.destination = packet.source = service.at;
    }
  } else if (kind == 2 && !policy_.direct.empty()) {
    const Direct& direct = dice_.pick(policy_.direct);
    open(Hook::kOutput);
    packet.out = eth0;
    packet.destination = address(Family::kIpv4);
    at_port(dice_.chance(70) ? direct.out : policy_.lan.closed);
    by(direct.user.uid);
  } else if (kind == 3 && policy_.tor) {
    open(Hook::kOutput);
    packet.out = dice_.chance(60) ? eth0 : kLoopbackInterface;
    packet.destination = address(Family::kIpv4);
    at_port(policy_.tor->out);
    by(policy_.tor->user.uid);
    if (policy_.live && dice_.chance(40)) by(policy_.live->uid);
  } else if (kind == 5) {  // between ::1 and ::1, in every state
    const bool is_input = dice_.chance(50);
    open(is_input ? Hook::kInput : Hook::kOutput);
    (is_input ? packet.in : packet.out) = kLoopbackInterface;
    packet.source = packet.destination = kLoopbackV6;
    const Packet other = anything();
    packet.state = other.state;
    packet.direction = other.direction;
    packet.tcp_flags = other.tcp_flags;
    if (dice_.chance(40)) packet.protocol = protocol::kIcmpv6;
  } else if (kind == 4 && !policy_.namespaces.empty()) {
    const Namespace& space = dice_.pick(policy_.namespaces);
    const bool is_input = dice_.chance(50);
    open(is_input ? Hook::kInput : Hook::kForward);
    packet.in = space.interface;
    packet.source = space.guest;
    packet.destination = is_input ? space.host : address(Family::kIpv4);
    at_port(space.services);
    if (!is_input) packet.out = dice_.chance(60) ? eth0 : dice_.pick(policy_.namespaces).interface;
    if (!is_input && dice_.chance(30)) std::swap(packet.in, packet.out);
  }
}

/// Changes one field to whatever another packet of this family and hook has there.
void PacketGenerator::disturb(Packet& packet) {
  Packet other = anything();
  switch (dice_.below(10)) {
    case 0: packet.protocol = other.protocol; break;
    case 1: packet.destination = address(packet.family()); break;
    case 2: packet.source = address(packet.family()); break;
    case 3: packet.destination_port = other.destination_port; break;
    case 4: packet.tcp_flags = other.tcp_flags; break;
    case 5:
      packet.state = other.state;
      packet.direction = other.direction;
      break;
    case 6:
      if (packet.hook != Hook::kOutput) packet.in = dice_.pick(interfaces_);
      if (packet.hook != Hook::kInput) packet.out = dice_.pick(interfaces_);
      break;
    case 7:
      if (packet.hook != Hook::kOutput) break;
      packet.uid = dice_.pick(uids_);
      packet.gid.reset();
      if (packet.uid) packet.gid = Gid{packet.uid->value};
      break;
    case 8: packet.later_fragment = dice_.chance(30); break;
    default: packet.source_port = other.source_port; break;
  }
}

Packet PacketGenerator::next() {
  Packet packet = anything();
  if (dice_.chance(50)) {
    aim(packet);
    for (size_t changes = dice_.below(3); changes > 0; --changes) disturb(packet);
  }
  return packet;
}

std::string describe(const Packet& p) {
  constexpr std::array kHooks = {"INPUT", "OUTPUT", "FORWARD"};
  const auto endpoint = [](const IpAddress& address, Port port) {
    return fmt::format("[{}]:{}", to_string(address), port);
  };
  std::string text = fmt::format("{} proto {} {} -> {} in '{}' out '{}' uid {} state {} {} flags {:#x}{}",
                                 kHooks.at(static_cast<size_t>(p.hook)), p.protocol, endpoint(p.source, p.source_port),
                                 endpoint(p.destination, p.destination_port), p.in.view(), p.out.view(),
                                 p.uid ? std::to_string(p.uid->value) : "none", static_cast<unsigned>(p.state),
                                 p.direction == Direction::kOriginal ? "original" : "reply", p.tcp_flags,
                                 p.later_fragment ? " later fragment" : "");
  if (p.recorded_nat) text += " recorded " + endpoint(p.recorded_nat->address, p.recorded_nat->port);
  return text;
}

std::optional<std::string> disagreement(const Policy& policy, const ruleset::Evaluator& rules, const Packet& packet) {
  const ruleset::Evaluation by_rules = rules.evaluate(packet);
  const Decision by_policy = decide(policy, packet);
  const Tristate logged = by_policy.logged ? Tristate::kYes : Tristate::kNo;
  const bool is_rationed = policy.blocked.log_limit && by_policy.logged && by_rules.logged == Tristate::kUnknown;
  if (by_rules.verdict == by_policy.verdict && by_rules.redirected_to == by_policy.redirected_to &&
      (by_rules.logged == logged || is_rationed)) {
    return std::nullopt;
  }
  const auto show = [](Verdict verdict, const std::optional<Endpoint>& to, Tristate is_logged) {
    constexpr std::array kVerdicts = {"accept", "reject", "drop", "unknown"};
    constexpr std::array kLogged = {"not logged", "logged", "perhaps logged"};
    return fmt::format("{}, to {}, {}", kVerdicts.at(static_cast<size_t>(verdict)),
                       to ? fmt::format("[{}]:{}", to_string(to->address), to->port) : "where it was sent",
                       kLogged.at(static_cast<size_t>(is_logged)));
  };
  std::string chain = by_rules.decided_by.chain == nullptr ? "no chain" : by_rules.decided_by.chain->name;
  return fmt::format("{}\n  rules:  {} (by {} rule {})\n  policy: {} (by {}: {})", describe(packet),
                     show(by_rules.verdict, by_rules.redirected_to, by_rules.logged), chain,
                     static_cast<long>(by_rules.decided_by.rule),
                     show(by_policy.verdict, by_policy.redirected_to, logged), to_string(by_policy.origin),
                     by_policy.origin.entry);
}

}  // namespace tails::testing
