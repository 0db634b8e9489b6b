#include "proof/granularity.h"

#include <algorithm>
#include <array>
#include <bit>
#include <span>

#include "ruleset/cuts.h"

namespace tails::proof {
namespace {

using namespace ruleset;

constexpr uint64_t kLastId = 0xFFFFFFFF;
constexpr uint64_t kLastProtocol = 255;
constexpr Port kDnsPort = 53;

class Collector {
 public:
  Collector(Family family, const RuleSet& rules) : family_(family) {
    const Cuts cuts = cuts_of(rules, family);
    for (const IpAddress& address : cuts.addresses) addresses_.push_back(Number::of(address));
    for (const auto& [from, to] :
         {std::pair(&cuts.uids, &uids_), std::pair(&cuts.gids, &gids_), std::pair(&cuts.source_ports, &source_ports_),
          std::pair(&cuts.destination_ports, &destination_ports_)}) {
      for (const uint32_t value : *from) to->push_back({0, value});
    }
    one(uids_, kInvalidId, kLastId);
    for (const uint8_t number : {protocol::kTcp, protocol::kUdp, protocol::kIcmp, protocol::kIcmpv6, protocol::kUdplite,
                                 protocol::kDccp, protocol::kSctp}) {
      one(protocols_, number, kLastProtocol);
    }
    std::array<bool, kLastProtocol + 1> is_tested{};
    for (const Table& table : rules.tables) {
      if (table.family != family) continue;
      for (const Chain& chain : table.chains) {
        for (const Rule& rule : chain.rules) is_tested.at(rule.header.protocol) = true;
      }
    }
    for (size_t number = 0; number < is_tested.size(); ++number) {
      if (is_tested.at(number)) one(protocols_, number, kLastProtocol);
    }
    const bool is_v4 = family == Family::kIpv4;
    network(is_v4 ? kLoopbackNetV4 : Prefix::host(kLoopbackV6));
    network(Prefix::host(is_v4 ? kLoopbackV4 : kLoopbackV6));
    network(*(is_v4 ? Prefix::make(IpAddress::v4(224, 0, 0, 0), 4)
                    : Prefix::make(IpAddress::v6(0xff00000000000000, 0), 8)));
  }

  void add(const policy::Policy& policy, Granularity::Services services) {
    one(destination_ports_, kDnsPort, kLastPort);
    if (policy.tor) {
      user(policy.tor->user);
      grants(policy.tor->out);
      for (const auto& port : {policy.tor->trans_port, policy.tor->dns_port}) {
        if (port) one(destination_ports_, *port, kLastPort);
      }
      if (policy.tor->automap) network(*policy.tor->automap);
    }
    if (policy.live) user(*policy.live);
    for (const policy::Direct& direct : policy.direct) {
      user(direct.user);
      grants(direct.out);
    }
    for (const Prefix& lan : policy.lan.networks) network(lan);
    grants(policy.lan.closed);
    for (const policy::Service& service : policy.services) {
      if (services == Granularity::Services::kWithout) break;
      if (service.at.family != family_) continue;
      network(Prefix::host(service.at));
      grants(service.ports);
      for (const PortRange& range : service.from) cut(source_ports_, range.first, range.last, kLastPort);
      for (const policy::User& one : service.allow) user(one);
      for (const policy::User& one : service.deny) user(one);
    }
    for (const policy::Namespace& guest : policy.namespaces) {
      network(guest.network);
      network(Prefix::host(guest.host));
      network(Prefix::host(guest.guest));
      grants(guest.services);
    }
  }

  Granularity take() && {
    const IpAddress all = mask_of(family_, address_bits(family_));
    return {{std::move(addresses_), Number::of(all)},
            {std::move(uids_), {0, kLastId}},
            {std::move(gids_), {0, kLastId}},
            {std::move(source_ports_), {0, kLastPort}},
            {std::move(destination_ports_), {0, kLastPort}},
            {std::move(protocols_), {0, kLastProtocol}}};
  }

 private:
  using Starts = std::vector<Number>;

  static void cut(Starts& starts, uint64_t first, uint64_t last, uint64_t largest) {
    starts.push_back({0, first});
    if (last < largest) starts.push_back({0, last + 1});
  }
  static void one(Starts& starts, uint64_t value, uint64_t largest) { cut(starts, value, value, largest); }

  void network(const Prefix& prefix) {
    if (prefix.family() != family_) return;
    addresses_.push_back(Number::of(prefix.address()));
    if (const auto next = after(prefix)) addresses_.push_back(Number::of(*next));
  }
  void user(const policy::User& user) { one(uids_, user.uid.value, kLastId); }
  void grants(std::span<const policy::PortGrant> grants) {
    for (const policy::PortGrant& grant : grants)
      cut(destination_ports_, grant.ports.first, grant.ports.last, kLastPort);
  }

  Family family_;
  Starts addresses_, uids_, gids_, source_ports_, destination_ports_, protocols_;
};

}  // namespace

ValueClasses::ValueClasses(std::vector<Number> starts, const Number& last) : starts_(std::move(starts)), last_(last) {
  starts_.push_back({});
  std::sort(starts_.begin(), starts_.end());
  starts_.erase(std::unique(starts_.begin(), starts_.end()), starts_.end());
}

unsigned ValueClasses::bits() const { return std::max(1U, static_cast<unsigned>(std::bit_width(size() - 1))); }

std::optional<std::pair<size_t, size_t>> ValueClasses::whole(const Number& first, const Number& last) const {
  const auto begin = std::lower_bound(starts_.begin(), starts_.end(), first);
  if (begin == starts_.end() || *begin != first) return std::nullopt;
  const auto end = std::upper_bound(begin, starts_.end(), last);
  const bool is_end_whole = end == starts_.end()
                                ? last == last_
                                : *end == Number{last.high + (last.low == ~uint64_t{0} ? 1 : 0), last.low + 1};
  if (!is_end_whole) return std::nullopt;
  return std::pair(static_cast<size_t>(begin - starts_.begin()), static_cast<size_t>(end - starts_.begin()) - 1);
}

Granularity Granularity::of(Family family, const RuleSet& rules, const policy::Policy& policy, Services services) {
  Collector collector(family, rules);
  collector.add(policy, services);
  return std::move(collector).take();
}

}  // namespace tails::proof
