#include "policy/rule_builder.h"

#include <algorithm>

namespace tails::policy {
namespace {

using namespace ruleset;

/// Port ranges cut into groups that one multiport match can carry.
std::vector<std::vector<PortRange>> groups_of(std::span<const PortRange> ranges) {
  std::vector<std::vector<PortRange>> groups(1);
  size_t places = 0;
  for (const PortRange& range : ranges) {
    const size_t needed = range.first == range.last ? 1 : 2;
    if (places + needed > MultiportMatch::kMaxPlaces) {
      groups.emplace_back();
      places = 0;
    }
    groups.back().push_back(range);
    places += needed;
  }
  return groups;
}

Transport make_transport(uint8_t number, const std::vector<PortRange>& to, const std::vector<PortRange>& from,
                         Opening opening) {
  const PortRange one_to = to.size() == 1 ? to.front() : PortRange{};
  const PortRange one_from = from.size() == 1 ? from.front() : PortRange{};
  const bool tests_one = !one_to.is_any() || !one_from.is_any();
  Transport transport{number, {}};
  if (number == protocol::kTcp && (tests_one || opening == Opening::kOnly)) {
    TcpMatch tcp = opening == Opening::kOnly ? tcp_syn() : TcpMatch{};
    tcp.source = one_from;
    tcp.destination = one_to;
    transport.matches.emplace_back(tcp);
  } else if (tests_one) {
    transport.matches.emplace_back(UdpMatch{one_from, one_to});
  }
  if (from.size() > 1) transport.matches.emplace_back(MultiportMatch{MultiportMatch::Side::kSource, from});
  if (to.size() > 1) transport.matches.emplace_back(MultiportMatch{MultiportMatch::Side::kDestination, to});
  return transport;
}

}  // namespace

TcpMatch tcp_syn(bool inverted) {
  TcpMatch match;
  match.flag_mask = tcp_flag::kSynMask;
  match.flag_compare = tcp_flag::kSyn;
  match.flags_inverted = inverted;
  return match;
}

StateSet grant_states(uint8_t protocol) {
  return protocol == protocol::kTcp ? StateSet(ConnState::kNew) : ConnState::kNew | ConnState::kEstablished;
}

std::vector<Transport> transports(std::span<const PortGrant> ports, std::span<const PortRange> from, Opening opening) {
  std::vector<Transport> result;
  for (const uint8_t number : {protocol::kTcp, protocol::kUdp}) {
    std::vector<PortRange> ranges;
    for (const PortGrant& grant : ports) {
      if (grant.protocol == number) ranges.push_back(grant.ports);
    }
    if (ranges.empty()) continue;
    if (std::ranges::any_of(ranges, &PortRange::is_any)) ranges = {PortRange{}};
    for (const auto& to : groups_of(ranges)) {
      for (const auto& sources : groups_of(from)) result.push_back(make_transport(number, to, sources, opening));
    }
  }
  return result;
}

Tests Tests::in(const InterfaceName& name) const {
  Tests tests = *this;
  tests.header_.in = InterfaceTest::is(name);
  return tests;
}
Tests Tests::out(const InterfaceName& name) const {
  Tests tests = *this;
  tests.header_.out = InterfaceTest::is(name);
  return tests;
}
Tests Tests::not_out(const InterfaceName& name) const {
  Tests tests = *this;
  tests.header_.out = InterfaceTest::is(name, true);
  return tests;
}
Tests Tests::from(const Prefix& prefix) const {
  Tests tests = *this;
  tests.header_.source = AddressTest::in(prefix);
  return tests;
}
Tests Tests::not_from(const Prefix& prefix) const {
  Tests tests = from(prefix);
  tests.header_.source.inverted = true;
  return tests;
}
Tests Tests::to(const Prefix& prefix) const {
  Tests tests = *this;
  tests.header_.destination = AddressTest::in(prefix);
  return tests;
}
Tests Tests::protocol(uint8_t number) const {
  Tests tests = *this;
  tests.header_.protocol = number;
  return tests;
}
Tests Tests::not_protocol(uint8_t number) const {
  Tests tests = *this;
  tests.header_.protocol = number;
  tests.header_.protocol_inverted = true;
  return tests;
}
Tests Tests::match(Match match) const {
  Tests tests = *this;
  tests.matches_.push_back(std::move(match));
  return tests;
}
Tests Tests::transport(const Transport& transport) const {
  Tests tests = protocol(transport.protocol);
  tests.matches_.insert(tests.matches_.end(), transport.matches.begin(), transport.matches.end());
  return tests;
}

Rule Tests::rule(Target target, OriginIndex origin) const {
  Rule rule;
  rule.header = header_;
  rule.matches = matches_;
  rule.target = std::move(target);
  rule.origin = origin;
  return rule;
}

}  // namespace tails::policy
