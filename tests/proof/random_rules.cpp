#include "tests/proof/random_rules.h"

#include <array>
#include <string>
#include <utility>

namespace tails::proof::testing {
namespace {

using namespace ruleset;

constexpr std::array kPorts = {Port{22}, Port{53}, Port{80}, Port{137}, Port{443}, Port{5353}, Port{9040}, Port{9050}};
constexpr std::array kUids = {uint32_t{0}, uint32_t{33}, uint32_t{107}, uint32_t{1000}, uint32_t{1001}};
constexpr std::array kInterfaces = {"lo", "eth0", "eth1", "veth-a", "veth-b", "wlan0"};
constexpr std::array kProtocols = {protocol::kTcp,  protocol::kTcp,    protocol::kTcp,  protocol::kUdp, protocol::kUdp,
                                   protocol::kIcmp, protocol::kIcmpv6, protocol::kSctp, uint8_t{47}};
constexpr std::array kStates = {ConnState::kNew,     ConnState::kNew,     ConnState::kEstablished,
                                ConnState::kRelated, ConnState::kInvalid, ConnState::kUntracked};
constexpr std::array kFlags = {tcp_flag::kSyn, uint8_t{tcp_flag::kSyn | tcp_flag::kAck}, tcp_flag::kAck,
                               uint8_t{tcp_flag::kFin | tcp_flag::kAck}, uint8_t{0xC0 | tcp_flag::kSyn}};
constexpr std::array kTypes = {AddressType::kUnicast, AddressType::kLocal, AddressType::kBroadcast,
                               AddressType::kMulticast};
constexpr std::array kMarks = {uint32_t{0}, uint32_t{1}, uint32_t{2}, uint32_t{3}, uint32_t{0x80000000}};

const std::array kV4 = {IpAddress::v4(127, 0, 0, 1),  IpAddress::v4(127, 192, 0, 7), IpAddress::v4(10, 1, 2, 3),
                        IpAddress::v4(10, 200, 1, 2), IpAddress::v4(192, 168, 1, 1), IpAddress::v4(192, 0, 2, 1),
                        IpAddress::v4(224, 0, 0, 251)};
const std::array kV6 = {kLoopbackV6, IpAddress::v6(0x20010db800000000, 1), IpAddress::v6(0x20010db800000001, 2),
                        IpAddress::v6(0xfe80000000000000, 3), IpAddress::v6(0xff02000000000000, 0xfb)};

InterfaceTest interface(std::string_view name, bool is_prefix, bool inverted) {
  InterfaceTest test;
  for (size_t i = 0; i < name.size(); ++i) test.name.at(i) = name[i];
  test.is_prefix = is_prefix;
  test.inverted = inverted;
  return test;
}

}  // namespace

IpAddress RandomRules::address(Family family) { return family == Family::kIpv4 ? one_of(kV4) : one_of(kV6); }

Port RandomRules::port() {
  if (chance(0.1)) return static_cast<Port>(below(65536));
  const Port port = one_of(kPorts);
  return chance(0.1) ? static_cast<Port>(port + 1) : port;
}

PortRange RandomRules::ports() {
  const Port first = port();
  if (chance(0.6)) return PortRange::one(first);
  const Port last = port();
  return {std::min(first, last), std::max(first, last)};
}

AddressTest RandomRules::address_test(Family family) {
  if (chance(0.5)) return {IpAddress{family, 0, 0}, IpAddress{family, 0, 0}, false};
  const unsigned bits = address_bits(family);
  constexpr std::array kLengths = {8U, 16U, 24U, 30U, 32U};
  IpAddress mask = mask_of(family, chance(0.2) ? bits : one_of(kLengths));
  if (chance(0.1)) mask.low ^= 0x00010100;  // a mask with holes
  AddressTest test{address(family) & mask, mask, chance(0.2)};
  if (chance(0.02)) test.address.low ^= 1;  // perhaps a bit that the mask forgets
  return test;
}

InterfaceTest RandomRules::interface_test() {
  if (chance(0.5)) return {};
  constexpr std::array kPrefixes = {"", "eth", "veth-", "e", "lo"};
  if (chance(0.3)) return interface(one_of(kPrefixes), true, chance(0.3));
  return interface(one_of(kInterfaces), false, chance(0.3));
}

Match RandomRules::match(Rule& rule, const Table& table, bool may_have_owner, Doubts doubts) {
  if (doubts.matches && chance(0.4)) {
    switch (below(4)) {
      case 0: return LimitMatch{500, static_cast<uint32_t>(5 + below(2))};
      case 1: return OpaqueMatch{"recent", 0, {}, std::to_string(below(3)), false};
      case 2: return OpaqueMatch{"bpf", 1, {}, std::to_string(below(3)), true};
      default: {
        OwnerMatch owner;
        owner.gid = OwnerMatch::Range{1000, 1000, false};
        owner.supplementary_groups = true;
        return may_have_owner ? Match(owner) : Match(LimitMatch{500, 5});
      }
    }
  }
  switch (below(may_have_owner ? 13 : 11)) {
    case 0: {
      rule.header.protocol = protocol::kTcp;
      rule.header.protocol_inverted = false;
      TcpMatch tcp;
      if (chance(0.7)) tcp.destination = ports();
      if (chance(0.2)) tcp.source = ports();
      tcp.destination_inverted = chance(0.15);
      tcp.source_inverted = chance(0.05);
      if (chance(0.4)) {
        tcp.flag_mask = tcp_flag::kSynMask;
        tcp.flag_compare = tcp_flag::kSyn;
        tcp.flags_inverted = chance(0.2);
      }
      if (doubts.matches && chance(0.1)) {
        tcp.option = 2;
        tcp.option_inverted = chance(0.5);
      }
      return tcp;
    }
    case 1: {
      rule.header.protocol = protocol::kUdp;
      rule.header.protocol_inverted = false;
      return UdpMatch{chance(0.2) ? ports() : PortRange{}, ports(), false, chance(0.15)};
    }
    case 2: {
      rule.header.protocol = table.family == Family::kIpv4 ? protocol::kIcmp : protocol::kIcmpv6;
      rule.header.protocol_inverted = false;
      IcmpMatch icmp;
      if (chance(0.8)) icmp.type = static_cast<uint8_t>(below(9));
      if (chance(0.5)) icmp.code_min = icmp.code_max = static_cast<uint8_t>(below(4));
      icmp.inverted = chance(0.2);
      return icmp;
    }
    case 3: {
      rule.header.protocol = chance(0.5) ? protocol::kTcp : protocol::kUdp;
      rule.header.protocol_inverted = false;
      MultiportMatch multiport;
      multiport.side = static_cast<MultiportMatch::Side>(below(3));
      for (size_t i = 1 + below(3); i > 0; --i) multiport.ports.push_back(ports());
      multiport.inverted = chance(0.2);
      return multiport;
    }
    case 4: return StateMatch{StateSet(one_of(kStates)) | StateSet(one_of(kStates)), chance(0.1)};
    case 5:
    case 6: {
      ConntrackMatch conntrack;
      if (chance(0.8)) {
        conntrack.state_mask = static_cast<uint16_t>((StateSet(one_of(kStates)) | StateSet(one_of(kStates))).bits() |
                                                     (chance(0.1) ? ConntrackMatch::kDnat : 0));
        conntrack.state_inverted = chance(0.1);
      }
      if (chance(0.2)) {
        conntrack.status_mask = static_cast<uint16_t>(1U << below(4));
        conntrack.status_inverted = chance(0.2);
      }
      if (chance(0.3)) conntrack.direction = chance(0.5) ? Direction::kOriginal : Direction::kReply;
      return conntrack;
    }
    case 7: return MarkMatch{one_of(kMarks), chance(0.5) ? 0xFFFFFFFF : 3, chance(0.2)};
    case 8: return ConnmarkMatch{one_of(kMarks), 0xFFFFFFFF, chance(0.2)};
    case 9: {
      AddrtypeMatch addrtype;
      if (chance(0.7)) addrtype.destination_types = static_cast<uint16_t>(one_of(kTypes));
      if (chance(0.4)) addrtype.source_types = static_cast<uint16_t>(one_of(kTypes));
      addrtype.destination_inverted = chance(0.2);
      return addrtype;
    }
    case 10: return DscpMatch{static_cast<uint8_t>(below(3)), chance(0.2)};
    default: {
      OwnerMatch owner;
      const auto range = [&] {
        const uint32_t first = one_of(kUids);
        return OwnerMatch::Range{first, chance(0.8) ? first : first + static_cast<uint32_t>(below(1000)), chance(0.2)};
      };
      if (chance(0.8)) owner.uid = range();
      if (chance(0.2)) owner.gid = range();
      if (chance(0.1)) owner.socket_exists = chance(0.6);
      return owner;
    }
  }
}

Target RandomRules::target(const Table& table, const Chain& chain, Doubts doubts) {
  if (doubts.targets && chance(0.08))
    return OpaqueTarget{
        "TPROXY",
        1,
        {},
        "",
    };
  const bool is_nat = table.name == TableName::kNat;
  const bool destination_nat = is_nat && (chain.name == "OUTPUT" || chain.name == "PREROUTING");
  if (destination_nat && chance(0.6)) {
    if (chance(0.6)) {
      Redirect redirect;
      if (chance(0.8)) redirect.ports = PortRange::one(port());
      if (doubts.targets && chance(0.2)) redirect.ports = PortRange{80, 90};
      return redirect;
    }
    Dnat dnat;
    dnat.first = dnat.last = address(table.family);
    if (chance(0.5)) dnat.ports = PortRange::one(port());
    if (doubts.targets && chance(0.2)) dnat.last = IpAddress{table.family, dnat.first->high, dnat.first->low + 5};
    return dnat;
  }
  if (is_nat && chain.name == "POSTROUTING" && chance(0.4)) return Masquerade{};
  if (doubts.marks && table.name == TableName::kMangle && chance(0.5)) {
    switch (below(3)) {
      case 0: return SetMark{one_of(kMarks), chance(0.6) ? 0xFFFFFFFF : 3};
      case 1: {
        SetConnmark connmark;
        connmark.mode = static_cast<SetConnmark::Mode>(below(3));
        connmark.value = one_of(kMarks);
        return connmark;
      }
      default: return SetDscp{static_cast<uint8_t>(below(3))};
    }
  }
  std::vector<std::string> callees;
  for (const Chain& other : table.chains) {
    if (!other.is_builtin() && (chain.is_builtin() || other.name > chain.name)) callees.push_back(other.name);
  }
  if (!callees.empty() && chance(0.3)) return Jump{one_of(callees), chance(0.25)};
  switch (below(is_nat ? 4 : 8)) {
    case 0:
    case 1: return Accept{};
    case 2: return Return{};
    case 3: return Continue{};
    case 4: return Log{7, 0, "x"};
    case 5: return table.name == TableName::kFilter ? Target(Reject{3}) : Target(Drop{});
    case 6: return Nflog{};
    default: return Drop{};
  }
}

Rule RandomRules::rule(const Table& table, const Chain& chain, Doubts doubts) {
  Rule rule;
  HeaderTest& header = rule.header;
  header.source = address_test(table.family);
  if (chance(0.6)) header.source = {IpAddress{table.family, 0, 0}, IpAddress{table.family, 0, 0}, false};
  header.destination = address_test(table.family);
  const bool is_user = !chain.is_builtin();
  if (is_user || chain.name == "INPUT" || chain.name == "FORWARD" || chain.name == "PREROUTING")
    header.in = interface_test();
  if (is_user || chain.name == "OUTPUT" || chain.name == "FORWARD" || chain.name == "POSTROUTING")
    header.out = interface_test();
  if (chance(0.3)) {
    header.protocol = one_of(kProtocols);
    header.protocol_inverted = chance(0.2);
  }
  if (table.family == Family::kIpv4 && chance(0.03)) {
    header.fragment = chance(0.5) ? HeaderTest::Fragment::kLater : HeaderTest::Fragment::kNotLater;
  }
  const bool may_have_owner = chain.name == "OUTPUT" || chain.name == "POSTROUTING" || is_user;
  for (size_t i = below(3); i > 0; --i) rule.matches.push_back(match(rule, table, may_have_owner, doubts));
  rule.target = target(table, chain, doubts);
  return rule;
}

RuleSet RandomRules::rule_set(Family family, Doubts doubts, size_t rules_per_chain) {
  RuleSet set;
  for (const TableName name :
       {TableName::kRaw, TableName::kMangle, TableName::kNat, TableName::kFilter, TableName::kSecurity}) {
    if (name != TableName::kFilter && chance(name == TableName::kNat ? 0.4 : 0.7)) continue;
    Table table = Table::open(family, name);
    for (const char* user : {"one", "three", "two"}) table.chains.push_back({user, std::nullopt, {}, {}, kNoOrigin});
    const Table names = table;
    for (Chain& chain : table.chains) {
      if (chain.is_builtin() && name != TableName::kNat) {
        chain.policy = chance(name == TableName::kFilter ? 0.6 : 0.1) ? ChainPolicy::kDrop : ChainPolicy::kAccept;
      }
      for (size_t i = below(rules_per_chain + 1); i > 0; --i) chain.rules.push_back(rule(names, chain, doubts));
    }
    set.tables.push_back(std::move(table));
  }
  return set;
}

RuleSet RandomRules::variant(const RuleSet& rules, Family family, Doubts doubts) {
  RuleSet set = rules;
  for (size_t changes = 1 + below(3); changes > 0; --changes) {
    Table& table = set.tables[below(set.tables.size())];
    Chain& chain = table.chains[below(table.chains.size())];
    if (table.family != family || chain.rules.empty()) continue;
    const size_t at = below(chain.rules.size());
    switch (below(3)) {
      case 0: chain.rules.erase(chain.rules.begin() + static_cast<std::ptrdiff_t>(at)); break;
      case 1: chain.rules[at] = rule(table, chain, doubts); break;
      default: std::swap(chain.rules[at], chain.rules[below(chain.rules.size())]); break;
    }
  }
  return set;
}

Packet RandomRules::packet(Family family, Hook hook) {
  Packet p;
  p.hook = hook;
  p.protocol = one_of(kProtocols);
  p.source = address(family);
  p.destination = address(family);
  if (chance(0.1)) p.destination.low ^= 1U << below(20);
  p.source_port = port();
  p.destination_port = port();
  p.tcp_flags = one_of(kFlags);
  p.icmp_type = static_cast<uint8_t>(below(9));
  p.icmp_code = static_cast<uint8_t>(below(4));
  p.later_fragment = chance(0.02);
  if (hook != Hook::kOutput) p.in = *InterfaceName::make(one_of(kInterfaces));
  if (hook != Hook::kInput) p.out = *InterfaceName::make(one_of(kInterfaces));
  if (hook == Hook::kOutput && chance(0.8)) {
    p.uid = Uid{one_of(kUids)};
    p.gid = Gid{one_of(kUids)};
  }
  p.state = one_of(kStates);
  p.direction = chance(0.7) ? Direction::kOriginal : Direction::kReply;
  p.status = static_cast<uint32_t>(below(64));
  p.mark = Mark{one_of(kMarks)};
  p.connmark = Mark{one_of(kMarks)};
  p.dscp = static_cast<uint8_t>(below(3));
  p.source_type = one_of(kTypes);
  p.destination_type = one_of(kTypes);
  if (chance(0.1)) p.recorded_nat = Endpoint{address(family), port()};
  return p;
}

}  // namespace tails::proof::testing
