#include "conntrack/routing_tables.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>

#include "net/netlink.h"
#include "ruleset/cuts.h"

namespace tails::conntrack {
namespace {

using netlink::Attribute;
using netlink::Attributes;
using netlink::fixed_part;
using netlink::message_payload;

constexpr Prefix kMulticastV4 = *Prefix::make(IpAddress::v4(224, 0, 0, 0), 4);
constexpr Prefix kMulticastV6 = *Prefix::make(IpAddress::v6(0xFF00000000000000, 0), 8);

std::optional<Prefix> read_prefix(uint8_t family, uint8_t length, const Attribute& attribute) {
  if (family != AF_INET && family != AF_INET6) return std::nullopt;
  const Family ours = family == AF_INET ? Family::kIpv4 : Family::kIpv6;
  if (attribute.payload().size() < address_bits(ours) / 8) return std::nullopt;
  return Prefix::make(IpAddress::from_wire(ours, attribute.payload().data()), length);
}

bool any_contains(const std::vector<Prefix>& prefixes, const IpAddress& address) {
  return std::ranges::any_of(prefixes, [&](const Prefix& prefix) { return prefix.contains(address); });
}

}  // namespace

void RoutingTables::take_link(const nlmsghdr& message) {
  const auto link = fixed_part<ifinfomsg>(message);
  if (message.nlmsg_type != RTM_NEWLINK || !link) return;
  const auto text = netlink::find(Attributes(message_payload(message, sizeof *link)), IFLA_IFNAME);
  const auto name = text ? InterfaceName::make(text->text()) : std::nullopt;
  if (name) links[static_cast<uint32_t>(link->ifi_index)] = *name;
}

void RoutingTables::take_route(const nlmsghdr& message) {
  const auto route = fixed_part<rtmsg>(message);
  if (message.nlmsg_type != RTM_NEWROUTE || !route || (route->rtm_flags & RTM_F_CLONED) != 0) return;
  for (const Attribute attribute : Attributes(message_payload(message, sizeof *route))) {
    if (attribute.type() != RTA_DST) continue;
    const auto prefix = read_prefix(route->rtm_family, route->rtm_dst_len, attribute);
    if (!prefix) continue;
    routes.push_back(*prefix);
    if (route->rtm_type == RTN_LOCAL) local.push_back(*prefix);
    if (route->rtm_type == RTN_BROADCAST) broadcast.push_back(*prefix);
    if (route->rtm_type == RTN_ANYCAST) anycast.push_back(*prefix);
  }
}

void RoutingTables::take_rule(const nlmsghdr& message) {
  const auto rule = fixed_part<fib_rule_hdr>(message);
  if (message.nlmsg_type != RTM_NEWRULE || !rule) return;
  for (const Attribute attribute : Attributes(message_payload(message, sizeof *rule))) {
    if (attribute.type() != FRA_DST && attribute.type() != FRA_SRC) continue;
    const uint8_t length = attribute.type() == FRA_DST ? rule->dst_len : rule->src_len;
    if (const auto prefix = read_prefix(rule->family, length, attribute)) rules.push_back(*prefix);
  }
}

void RoutingTables::forget_routes() {
  for (auto* list : {&routes, &local, &broadcast, &anycast}) list->clear();
}

bool RoutingTables::is_local(const IpAddress& address) const { return any_contains(local, address); }

AddressType RoutingTables::type(const IpAddress& address) const {
  if (kMulticastV4.contains(address) || kMulticastV6.contains(address)) return AddressType::kMulticast;
  if (address == IpAddress::v4(0xFFFFFFFF) || any_contains(broadcast, address)) return AddressType::kBroadcast;
  if (any_contains(anycast, address)) return AddressType::kAnycast;
  return is_local(address) ? AddressType::kLocal : AddressType::kUnicast;
}

std::vector<IpAddress> RoutingTables::boundaries() const {
  std::vector<IpAddress> addresses;
  const auto add = [&](const Prefix& prefix) {
    addresses.push_back(prefix.address());
    if (const auto next = ruleset::after(prefix)) addresses.push_back(*next);
  };
  for (const Prefix& prefix : routes) add(prefix);
  for (const Prefix& prefix : rules) add(prefix);
  add(kMulticastV4);
  add(kMulticastV6);
  addresses.push_back(IpAddress::v4(0xFFFFFFFF));
  std::ranges::sort(addresses);
  // Not std::ranges: clang 14 does not take the subrange that libstdc++ 12 returns there.
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  return addresses;
}

std::optional<InterfaceName> RoutingTables::link(uint32_t index) const {
  const auto found = links.find(index);
  return found == links.end() ? std::nullopt : std::optional(found->second);
}

std::optional<InterfaceName> RoutingTables::interface_of(const nlmsghdr& answer) const {
  const auto route = fixed_part<rtmsg>(answer);
  if (answer.nlmsg_type != RTM_NEWROUTE || !route) return std::nullopt;
  if (route->rtm_type == RTN_UNREACHABLE || route->rtm_type == RTN_BLACKHOLE || route->rtm_type == RTN_PROHIBIT) {
    return std::nullopt;
  }
  const auto index = netlink::find(Attributes(message_payload(answer, sizeof *route)), RTA_OIF);
  return index ? link(index->u32()) : std::nullopt;
}

}  // namespace tails::conntrack
