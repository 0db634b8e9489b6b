#include "tests/ruleset/rule_generators.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace tails::testing {
namespace {

using namespace ruleset;
namespace gen = rc::gen;

/// As the tool does: between 1/10000 s and a day for each packet, in its own words (twenty a second, …).
constexpr std::array<uint32_t, 6> kRates = {500, 1000, 10000, 600000, 36000000, 864000000};

bool coin() { return *gen::arbitrary<bool>(); }

PortRange any_ports() {
  const Port first = *gen::arbitrary<Port>();
  const Port second = coin() ? first : *gen::arbitrary<Port>();
  return {std::min(first, second), std::max(first, second)};
}

/// Also quotes, backslashes and words that look like options.
std::string any_text(size_t most) {
  const auto character = gen::oneOf(gen::elementOf(std::string("a-\"'\\ ;#$!:/")), gen::inRange<char>(0x20, 0x7F));
  std::string text = *gen::container<std::string>(character);
  text.resize(std::min(text.size(), most));
  return text;
}

AddressTest any_address(Family family) {
  if (coin()) return {};
  IpAddress address{family, *gen::arbitrary<uint64_t>(), *gen::arbitrary<uint64_t>()};
  if (family == Family::kIpv4) address = IpAddress::v4(static_cast<uint32_t>(address.low));
  const IpAddress mask = mask_of(family, *gen::inRange(1U, address_bits(family) + 1));
  return {address & mask, mask, coin()};
}

InterfaceTest any_interface() {
  if (coin()) return {};
  InterfaceTest test;
  const std::string name = *gen::elementOf(std::vector<std::string>{"lo", "eth0", "veth-", "wlan0.7", "a"});
  std::ranges::copy(name, test.name.begin());
  test.is_prefix = coin();
  test.inverted = coin();
  return test;
}

HeaderTest any_header(Family family, bool has_in, bool has_out) {
  HeaderTest header;
  header.source = any_address(family);
  header.destination = any_address(family);
  if (has_in) header.in = any_interface();
  if (has_out) header.out = any_interface();
  if (family == Family::kIpv4)
    header.fragment = *gen::elementOf(std::vector{HeaderTest::Fragment::kAny, HeaderTest::Fragment::kAny,
                                                  HeaderTest::Fragment::kLater, HeaderTest::Fragment::kNotLater});
  return header;
}

OwnerMatch any_owner() {
  const auto range = [] {
    const auto first = *gen::inRange<uint32_t>(0, kInvalidId);
    const uint32_t last = coin() ? first : *gen::inRange<uint32_t>(first, kInvalidId);
    return OwnerMatch::Range{first, last, coin()};
  };
  OwnerMatch owner;
  if (coin()) owner.uid = range();
  if (coin()) owner.gid = range();
  if (coin() || (!owner.uid && !owner.gid)) owner.socket_exists = coin();
  return owner;
}

ConntrackMatch any_conntrack() {
  ConntrackMatch conntrack;
  const auto bits = [](uint16_t of) { return static_cast<uint16_t>(*gen::arbitrary<uint16_t>() & of); };
  conntrack.direction = coin() ? Direction::kOriginal : Direction::kReply;
  if (coin()) conntrack.direction.reset();
  if (const uint16_t states = bits(1 | 2 | 4 | 8 | 64 | 128 | 256); states != 0) {
    conntrack.state_mask = states;
    conntrack.state_inverted = coin();
  }
  if (coin() || (!conntrack.direction && !conntrack.state_mask)) {
    conntrack.status_mask = bits(15);
    conntrack.status_inverted = coin();
  }
  return conntrack;
}

/// One of the matches that belong to a protocol, and that protocol; or none of either.
void add_protocol(Rule& rule, Family family) {
  HeaderTest& header = rule.header;
  switch (*gen::inRange(0, 6)) {
    case 0: {
      header.protocol = protocol::kTcp;
      TcpMatch tcp{any_ports(), any_ports(), coin(), coin()};
      tcp.flag_mask = static_cast<uint8_t>(*gen::arbitrary<uint8_t>() & 0x3F);
      tcp.flag_compare = static_cast<uint8_t>(*gen::arbitrary<uint8_t>() & tcp.flag_mask);
      tcp.flags_inverted = tcp.flag_mask != 0 && coin();
      tcp.option = *gen::arbitrary<uint8_t>();
      tcp.option_inverted = tcp.option != 0 && coin();
      rule.matches.emplace_back(tcp);
      return;
    }
    case 1:
      header.protocol = protocol::kUdp;
      rule.matches.emplace_back(UdpMatch{any_ports(), any_ports(), coin(), coin()});
      return;
    case 2: {
      header.protocol = family == Family::kIpv4 ? protocol::kIcmp : protocol::kIcmpv6;
      IcmpMatch icmp;
      icmp.type = *gen::inRange<uint8_t>(0, 255);
      if (coin()) icmp.code_min = icmp.code_max = *gen::inRange<uint8_t>(0, 255);
      icmp.inverted = coin();
      rule.matches.emplace_back(icmp);
      return;
    }
    case 3: {
      header.protocol = *gen::elementOf(std::vector{protocol::kTcp, protocol::kUdp, protocol::kSctp, protocol::kDccp});
      MultiportMatch multiport{static_cast<MultiportMatch::Side>(*gen::inRange(0, 3)), {}, coin()};
      for (int places = *gen::inRange(1, 16); places > 0; --places) {
        PortRange ports = any_ports();
        if (ports.first != ports.last && --places == 0) ports.last = ports.first;
        multiport.ports.push_back(ports);
      }
      rule.matches.emplace_back(std::move(multiport));
      return;
    }
    case 4:
      header.protocol = *gen::inRange<uint8_t>(1, 255);
      header.protocol_inverted = coin();
      return;
    default: return;
  }
}

void add_matches(Rule& rule) {
  const auto number = [] { return *gen::arbitrary<uint32_t>(); };
  constexpr int kKinds = 9;
  const auto count = *gen::inRange<size_t>(0, 4);
  for (const int kind : *gen::unique<std::vector<int>>(count, gen::inRange(0, kKinds))) {
    switch (kind) {
      case 0: rule.matches.emplace_back(any_owner()); break;
      case 1: {
        const auto bits = static_cast<uint16_t>((number() & 15U) | (coin() ? 256U : 0U));
        if (bits != 0) rule.matches.emplace_back(StateMatch{StateSet::from_bits(bits), coin()});
        break;
      }
      case 2: rule.matches.emplace_back(any_conntrack()); break;
      case 3: rule.matches.emplace_back(LimitMatch{*gen::elementOf(kRates), *gen::inRange(1U, 10000U)}); break;
      case 4: rule.matches.emplace_back(MarkMatch{number(), coin() ? 0xFFFFFFFF : number(), coin()}); break;
      case 5: rule.matches.emplace_back(ConnmarkMatch{number(), coin() ? 0xFFFFFFFF : number(), coin()}); break;
      case 6: {
        AddrtypeMatch types{static_cast<uint16_t>(number() & 0x1FF), static_cast<uint16_t>(number() & 0x1FF)};
        if (types.source_types == 0 && types.destination_types == 0) types.source_types = 2;
        types.source_inverted = types.source_types != 0 && coin();
        types.destination_inverted = types.destination_types != 0 && coin();
        rule.matches.emplace_back(types);
        break;
      }
      case 7: rule.matches.emplace_back(DscpMatch{*gen::inRange<uint8_t>(0, 64), coin()}); break;
      default: rule.matches.emplace_back(CommentMatch{any_text(255)}); break;
    }
  }
}

Target any_verdict(TableName table, Family family) {
  switch (*gen::inRange(0, 8)) {
    case 0: return Accept{};
    case 1: return Drop{};
    case 2: return Return{};
    case 3: return Continue{};
    case 4: return Jump{"lan", coin()};
    case 5:
      return Log{*gen::inRange<uint8_t>(0, 8), static_cast<uint8_t>(*gen::arbitrary<uint8_t>() & 0x2F), any_text(29)};
    case 6: {
      Nflog nflog{*gen::arbitrary<uint16_t>(), *gen::arbitrary<uint16_t>(), std::nullopt, any_text(63)};
      if (coin()) nflog.size = *gen::arbitrary<uint32_t>();
      return nflog;
    }
    default:
      if (table != TableName::kFilter) return Accept{};
      return Reject{family == Family::kIpv4 ? Reject::kPortUnreachableV4 : Reject::kPortUnreachableV6};
  }
}

Target any_target(TableName table, std::string_view chain, Family family) {
  const auto number = [] { return *gen::arbitrary<uint32_t>(); };
  if (table == TableName::kMangle && coin()) {
    if (coin()) return SetMark{number(), number()};
    if (coin()) return SetDscp{*gen::inRange<uint8_t>(0, 64)};
    SetConnmark connmark;
    connmark.mode = static_cast<SetConnmark::Mode>(*gen::inRange(0, 3));
    connmark.ctmask = number();
    if (connmark.mode == SetConnmark::Mode::kSet) {
      connmark.value = number();
    } else {
      connmark.nfmask = number();
    }
    return connmark;
  }
  if (table == TableName::kNat && chain == "POSTROUTING" && coin()) {
    Masquerade masquerade{std::nullopt, coin(), coin()};
    if (coin()) masquerade.ports = any_ports();
    return masquerade;
  }
  if (table == TableName::kNat && chain == "OUTPUT" && coin()) {
    if (coin()) return Redirect{coin() ? std::optional(any_ports()) : std::nullopt, coin()};
    Dnat dnat;
    IpAddress address{family, number() | uint64_t{1} << 40, number()};
    if (family == Family::kIpv4) address = IpAddress::v4(number());
    dnat.first = dnat.last = address;
    if (coin()) dnat.ports = any_ports();
    dnat.random = coin();
    dnat.persistent = coin();
    return dnat;
  }
  return any_verdict(table, family);
}

Rule any_rule(Family family, TableName table, const Chain& chain) {
  const bool has_in =
      chain.name == "INPUT" || chain.name == "FORWARD" || chain.name == "PREROUTING" || !chain.is_builtin();
  const bool has_out =
      chain.name == "OUTPUT" || chain.name == "FORWARD" || chain.name == "POSTROUTING" || !chain.is_builtin();
  Rule rule;
  rule.header = any_header(family, has_in, has_out);
  add_protocol(rule, family);
  add_matches(rule);
  rule.target = any_target(table, chain.name, family);
  rule.counters = {*gen::arbitrary<uint64_t>(), *gen::arbitrary<uint64_t>()};
  return rule;
}

}  // namespace

rc::Gen<RuleSet> rule_sets(Family family) {
  return gen::exec([family] {
    RuleSet set;
    for (const TableName name :
         {*gen::elementOf(std::vector{TableName::kMangle, TableName::kNat}), TableName::kFilter}) {
      Table table = Table::open(family, name);
      table.chains.push_back({"lan", std::nullopt, {}, {}, kNoOrigin});
      for (Chain& chain : table.chains) {
        if (chain.is_builtin() && coin()) chain.policy = ChainPolicy::kDrop;
        const int rules = *gen::inRange(0, 3);
        for (int i = 0; i < rules; ++i) chain.rules.push_back(any_rule(family, name, chain));
      }
      set.tables.push_back(std::move(table));
    }
    return set;
  });
}

}  // namespace tails::testing
