#include "tests/fastpath/wire_packets.h"

#include <algorithm>
#include <variant>

#include "tests/policy/generators.h"

namespace tails::fastpath {

std::string describe(const WirePacket& packet) {
  return (packet.from == Side::kInside ? "from inside, tag " : "from outside, tag ") + std::to_string(packet.owner) +
         ": " + testing::describe(packet.seen);
}

WirePackets::WirePackets(const ruleset::RuleSet& rules, const WireView& view, uint64_t seed)
    : dice_(seed), view_(view) {
  addresses_ = {0, 0xFFFFFFFF, 0xC0000201, 0x08080808};
  ports_ = {0, 1, 52, 53, 54, 80, 443, 65535};
  for (const ruleset::Table& table : rules.tables) {
    if (table.family != Family::kIpv4) continue;
    for (const ruleset::Chain& chain : table.chains) {
      for (const ruleset::Rule& rule : chain.rules) learn(rule);
    }
  }
  std::ranges::sort(addresses_);
  addresses_.erase(std::unique(addresses_.begin(), addresses_.end()), addresses_.end());
}

WirePacket WirePackets::next() {
  WirePacket w;
  w.from = dice_.chance(80) ? Side::kInside : Side::kOutside;
  w.owner = owner(w.from);
  Packet& p = w.seen;
  p.source = IpAddress::v4(address());
  do p.destination = IpAddress::v4(address());
  while (kLoopbackNetV4.contains(p.destination));
  constexpr uint8_t kProtocols[] = {6, 6, 6, 17, 17, 17, 1, 47, 132, 33, 136, 2, 0, 255};
  p.protocol = dice_.pick(kProtocols);
  const bool has_ports =
      p.protocol == 6 || p.protocol == 17 || p.protocol == 132 || p.protocol == 33 || p.protocol == 136;
  if (has_ports) {
    p.source_port = port();
    p.destination_port = port();
  }
  constexpr uint8_t kFlags[] = {2, 2, 2, 0x12, 0x10, 0x11, 0x04, 0xC2};
  if (p.protocol == 6) p.tcp_flags = dice_.chance(80) ? dice_.pick(kFlags) : static_cast<uint8_t>(dice_.below(256));
  if (p.protocol == 1) {
    p.icmp_type = static_cast<uint8_t>(dice_.chance(70) ? dice_.below(20) : dice_.below(256));
    p.icmp_code = static_cast<uint8_t>(dice_.chance(70) ? dice_.below(4) : dice_.below(256));
  }
  const auto state = static_cast<StateIndex>(dice_.chance(50) ? 0 : dice_.below(kStateCount));
  p.state = conn_state(state);
  p.direction = direction_of(state);
  return w;
}

void WirePackets::learn(const ruleset::Rule& rule) {
  for (const ruleset::AddressTest* test : {&rule.header.source, &rule.header.destination}) {
    const uint32_t first = test->address.v4_bits();
    const uint32_t last = first | ~test->mask.v4_bits();
    addresses_.insert(addresses_.end(), {first, last, first - 1, last + 1, first + (last - first) / 2});
  }
  const auto learn_range = [&](const PortRange& range) {
    for (const int p : {range.first - 1, range.first + 0, range.last + 0, range.last + 1}) {
      ports_.push_back(static_cast<Port>(p));
    }
  };
  for (const ruleset::Match& match : rule.matches) {
    if (const auto* tcp = std::get_if<ruleset::TcpMatch>(&match)) {
      learn_range(tcp->source);
      learn_range(tcp->destination);
    }
    if (const auto* udp = std::get_if<ruleset::UdpMatch>(&match)) {
      learn_range(udp->source);
      learn_range(udp->destination);
    }
    if (const auto* multiport = std::get_if<ruleset::MultiportMatch>(&match)) {
      for (const PortRange& range : multiport->ports) learn_range(range);
    }
  }
}

uint8_t WirePackets::owner(Side from) {
  std::vector<uint8_t> all = {0};
  for (const OwnerTag& tag : view_.owners) {
    if (from == Side::kInside || std::holds_alternative<ForwardedGuest>(tag.owner)) all.push_back(tag.tag);
  }
  return dice_.pick(all);
}

}  // namespace tails::fastpath
