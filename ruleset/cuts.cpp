#include "ruleset/cuts.h"

#include <algorithm>
#include <variant>

namespace tails::ruleset {
namespace {

constexpr uint32_t kAfterLastPort = 65536;

class Collector {
 public:
  explicit Collector(Cuts& cuts) : cuts_(cuts) {}

  void table(const Table& table) {
    is_nat_ = table.name == TableName::kNat;
    for (const Chain& chain : table.chains) {
      for (const Rule& rule : chain.rules) {
        address(rule.header.source);
        address(rule.header.destination);
        for (const Match& match : rule.matches) std::visit(*this, match);
        std::visit(*this, rule.target);
      }
    }
  }

  void operator()(const TcpMatch& match) { ports(match.source, match.destination); }
  void operator()(const UdpMatch& match) { ports(match.source, match.destination); }
  void operator()(const IcmpMatch&) {}
  void operator()(const MultiportMatch& match) {
    using Side = MultiportMatch::Side;
    for (const PortRange& ports : match.ports) {
      if (match.side != Side::kDestination) range(cuts_.source_ports, ports.first, ports.last);
      if (match.side != Side::kSource) range(cuts_.destination_ports, ports.first, ports.last);
    }
  }
  void operator()(const OwnerMatch& match) {
    if (match.uid) ids(cuts_.uids, *match.uid);
    if (match.gid) ids(cuts_.gids, *match.gid);
  }
  void operator()(const StateMatch&) {}
  void operator()(const ConntrackMatch&) {}
  void operator()(const LimitMatch&) { cuts_.is_nat_certain &= !is_nat_; }
  void operator()(const MarkMatch&) {}
  void operator()(const ConnmarkMatch&) { cuts_.reads_connmark = true; }
  void operator()(const AddrtypeMatch&) {}
  void operator()(const DscpMatch&) {}
  void operator()(const CommentMatch&) {}
  void operator()(const OpaqueMatch&) { cuts_.is_nat_certain &= !is_nat_; }

  void operator()(const Accept&) {}
  void operator()(const Drop&) {}
  void operator()(const Return&) {}
  void operator()(const Continue&) {}
  void operator()(const Jump&) {}
  void operator()(const Reject&) {}
  void operator()(const Log&) {}
  void operator()(const Nflog&) {}
  void operator()(const Redirect& target) {
    nat(std::nullopt, target.ports, target.random);
    nat(kLoopbackV4, std::nullopt, false);
    nat(kLoopbackV6, std::nullopt, false);
  }
  void operator()(const Masquerade&) {}
  void operator()(const Dnat& target) {
    nat(target.first, target.ports, target.random);
    if (target.first != target.last) cuts_.is_nat_certain = false;
  }
  void operator()(const SetMark&) {}
  void operator()(const SetConnmark& target) {
    if (target.mode == SetConnmark::Mode::kRestore) cuts_.reads_connmark = true;
  }
  void operator()(const SetDscp&) {}
  void operator()(const OpaqueTarget&) { cuts_.is_nat_certain &= !is_nat_; }

 private:
  void prefix(const Prefix& prefix) {
    cuts_.addresses.push_back(prefix.address());
    if (const auto next = after(prefix)) cuts_.addresses.push_back(*next);
  }

  void address(const AddressTest& test) {
    if (test.mask.high == 0 && test.mask.low == 0) return;
    const auto length = prefix_length(test.mask);
    const auto network = length ? Prefix::make(test.address, *length) : std::nullopt;
    if (!network || network->address() != test.address) {
      cuts_.has_prefixes_only = false;
      return;
    }
    prefix(*network);
  }

  static void range(std::vector<uint32_t>& cuts, uint32_t first, uint32_t last) {
    cuts.push_back(first);
    if (last != 0xFFFFFFFF) cuts.push_back(last + 1);
  }

  void ports(const PortRange& source, const PortRange& destination) {
    range(cuts_.source_ports, source.first, source.last);
    range(cuts_.destination_ports, destination.first, destination.last);
  }

  static void ids(std::vector<uint32_t>& cuts, const OwnerMatch::Range& test) { range(cuts, test.first, test.last); }

  void nat(const std::optional<IpAddress>& to, const std::optional<PortRange>& to_ports, bool is_random) {
    if (to) prefix(Prefix::host(*to));
    if (to_ports) range(cuts_.destination_ports, to_ports->first, to_ports->last);
    if (is_random || (to_ports && to_ports->first != to_ports->last)) cuts_.is_nat_certain = false;
  }

  Cuts& cuts_;
  bool is_nat_ = false;
};

template <class T>
void sort_unique(std::vector<T>& values) {
  std::ranges::sort(values);
  values.erase(std::unique(values.begin(), values.end()), values.end());  // clang 14 cannot read the ranges form
}

}  // namespace

std::optional<IpAddress> after(const Prefix& prefix) {
  const IpAddress mask = prefix.mask();
  IpAddress next = prefix.address();
  if (next.family == Family::kIpv4) {
    const uint64_t value = next.low + (uint64_t{1} << (32 - prefix.length()));
    if (value > 0xFFFFFFFF) return std::nullopt;
    next.low = value;
    return next;
  }
  next.high |= ~mask.high;
  next.low |= ~mask.low;
  if (++next.low == 0 && ++next.high == 0) return std::nullopt;
  return next;
}

Cuts cuts_of(const RuleSet& rules, std::optional<Family> family) {
  Cuts cuts;
  Collector collector(cuts);
  for (const Table& table : rules.tables) {
    if (!family || table.family == *family) collector.table(table);
  }
  cuts.uids.push_back(0);
  cuts.gids.push_back(0);
  for (auto* list : {&cuts.source_ports, &cuts.destination_ports, &cuts.uids, &cuts.gids}) sort_unique(*list);
  for (auto* list : {&cuts.source_ports, &cuts.destination_ports}) std::erase(*list, kAfterLastPort);
  // -1 is "no user", and no class of users.
  for (auto* list : {&cuts.uids, &cuts.gids}) std::erase(*list, kInvalidId);
  sort_unique(cuts.addresses);
  return cuts;
}

}  // namespace tails::ruleset
