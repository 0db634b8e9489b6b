#include "conntrack/routing.h"

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "conntrack/attributes.h"
#include "ruleset/cuts.h"

namespace tails::conntrack {
namespace {

constexpr Prefix kMulticastV4 = *Prefix::make(IpAddress::v4(224, 0, 0, 0), 4);
constexpr Prefix kMulticastV6 = *Prefix::make(IpAddress::v6(0xFF00000000000000, 0), 8);

uint8_t wire_family(Family family) { return family == Family::kIpv4 ? AF_INET : AF_INET6; }

template <class T>
T fixed_part(const nlmsghdr& message) {
  T fixed{};
  if (message.nlmsg_len >= NLMSG_LENGTH(sizeof fixed)) {
    std::memcpy(&fixed, reinterpret_cast<const std::byte*>(&message) + NLMSG_HDRLEN, sizeof fixed);
  }
  return fixed;
}

std::optional<Prefix> read_prefix(uint8_t family, uint8_t length, const Attribute& attribute) {
  if (family != AF_INET && family != AF_INET6) return std::nullopt;
  const Family ours = family == AF_INET ? Family::kIpv4 : Family::kIpv6;
  if (attribute.payload().size() < address_bits(ours) / 8) return std::nullopt;
  return Prefix::make(IpAddress::from_wire(ours, attribute.payload().data()), length);
}

bool any_contains(const std::vector<Prefix>& prefixes, const IpAddress& address) {
  return std::ranges::any_of(prefixes, [&](const Prefix& prefix) { return prefix.contains(address); });
}

void put_address(Request& request, uint16_t type, const IpAddress& address) {
  std::array<std::byte, 16> wire{};
  address.to_wire(wire.data());
  mnl_attr_put(&request.header(), type, address_bits(address.family) / 8, wire.data());
}

}  // namespace

Result<KernelRouting> KernelRouting::read() {
  const auto failed = [](Errno error) {
    return fail(ErrorKind::kRefused, "cannot read addresses and routes: " + words(error), {}, static_cast<int>(error));
  };
  auto socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) return failed(socket.error());
  KernelRouting routing(std::move(*socket));
  if (const auto links = routing.read_links(); !links) return failed(links.error());
  if (const auto routes = routing.read_routes(); !routes) return failed(routes.error());
  if (const auto rules = routing.read_rules(); !rules) return failed(rules.error());
  return routing;
}

Result<void, Errno> KernelRouting::read_links() {
  Request request(RTM_GETLINK, NLM_F_DUMP, sizeof(ifinfomsg));
  return socket_.dump(
      request,
      [&](const nlmsghdr& message) {
        if (message.nlmsg_type != RTM_NEWLINK) return;
        const auto link = fixed_part<ifinfomsg>(message);
        for (const Attribute attribute : Attributes(message_payload(message, sizeof link))) {
          if (attribute.type() != IFLA_IFNAME || attribute.payload().empty()) continue;
          const std::string_view text(reinterpret_cast<const char*>(attribute.payload().data()),
                                      attribute.payload().size() - 1);
          if (const auto name = InterfaceName::make(text)) links_[static_cast<uint32_t>(link.ifi_index)] = *name;
        }
      },
      [&] { links_.clear(); });
}

Result<void, Errno> KernelRouting::read_routes() {
  Request request(RTM_GETROUTE, NLM_F_DUMP, sizeof(rtmsg));
  return socket_.dump(
      request,
      [&](const nlmsghdr& message) {
        if (message.nlmsg_type != RTM_NEWROUTE) return;
        const auto route = fixed_part<rtmsg>(message);
        if ((route.rtm_flags & RTM_F_CLONED) != 0) return;
        for (const Attribute attribute : Attributes(message_payload(message, sizeof route))) {
          if (attribute.type() != RTA_DST) continue;
          const auto prefix = read_prefix(route.rtm_family, route.rtm_dst_len, attribute);
          if (!prefix) continue;
          prefixes_.push_back(*prefix);
          if (route.rtm_type == RTN_LOCAL) local_.push_back(*prefix);
          if (route.rtm_type == RTN_BROADCAST) broadcast_.push_back(*prefix);
          if (route.rtm_type == RTN_ANYCAST) anycast_.push_back(*prefix);
        }
      },
      [&] {
        for (auto* list : {&prefixes_, &local_, &broadcast_, &anycast_}) list->clear();
      });
}

// Policy rules that look at addresses move traffic between tables at addresses of their own.
Result<void, Errno> KernelRouting::read_rules() {
  Request request(RTM_GETRULE, NLM_F_DUMP, sizeof(fib_rule_hdr));
  const size_t before = prefixes_.size();
  const auto dumped = socket_.dump(
      request,
      [&](const nlmsghdr& message) {
        if (message.nlmsg_type != RTM_NEWRULE) return;
        const auto rule = fixed_part<fib_rule_hdr>(message);
        for (const Attribute attribute : Attributes(message_payload(message, sizeof rule))) {
          if (attribute.type() != FRA_DST && attribute.type() != FRA_SRC) continue;
          const uint8_t length = attribute.type() == FRA_DST ? rule.dst_len : rule.src_len;
          if (const auto prefix = read_prefix(rule.family, length, attribute)) prefixes_.push_back(*prefix);
        }
      },
      [&] { prefixes_.resize(before); });
  // A kernel without policy routing has none.
  if (!dumped && dumped.error() == Errno{EOPNOTSUPP}) return {};
  return dumped;
}

bool KernelRouting::is_local(const IpAddress& address) const { return any_contains(local_, address); }

AddressType KernelRouting::type(const IpAddress& address) const {
  if (kMulticastV4.contains(address) || kMulticastV6.contains(address)) return AddressType::kMulticast;
  if (address == IpAddress::v4(0xFFFFFFFF) || any_contains(broadcast_, address)) return AddressType::kBroadcast;
  if (any_contains(anycast_, address)) return AddressType::kAnycast;
  return is_local(address) ? AddressType::kLocal : AddressType::kUnicast;
}

Route KernelRouting::route(const IpAddress& destination, const IpAddress& source, std::optional<Uid> user,
                           uint32_t bound_interface) const {
  // The kernel refuses a source that is not local; then the route does not depend on it either.
  const bool names_source = is_local(source);
  Request request(RTM_GETROUTE, 0, sizeof(rtmsg));
  auto& query = request.fixed<rtmsg>();
  query.rtm_family = wire_family(destination.family);
  query.rtm_dst_len = static_cast<uint8_t>(address_bits(destination.family));
  put_address(request, RTA_DST, destination);
  if (names_source) {
    query.rtm_src_len = query.rtm_dst_len;
    put_address(request, RTA_SRC, source);
  }
  if (bound_interface != 0) mnl_attr_put_u32(&request.header(), RTA_OIF, bound_interface);
  if (user) mnl_attr_put_u32(&request.header(), RTA_UID, user->value);

  Route route{type(destination), {}};
  const auto asked = socket_.ask(request, [&](const nlmsghdr& message) {
    if (message.nlmsg_type != RTM_NEWROUTE) return;
    const auto answer = fixed_part<rtmsg>(message);
    if (answer.rtm_type == RTN_UNREACHABLE || answer.rtm_type == RTN_BLACKHOLE || answer.rtm_type == RTN_PROHIBIT)
      return;
    for (const Attribute attribute : Attributes(message_payload(message, sizeof answer))) {
      if (attribute.type() != RTA_OIF) continue;
      const auto link = links_.find(attribute.u32());
      if (link != links_.end()) route.interface = link->second;
    }
  });
  if (!asked && bound_interface != 0) {
    // A route by this interface may be missing; the socket sends there all the same (ip_route_output_key_hash).
    const auto link = links_.find(bound_interface);
    if (link != links_.end()) route.interface = link->second;
  }
  return route;
}

bool KernelRouting::forwards(const InterfaceName& interface, Family family) const {
  const std::string version = family == Family::kIpv4 ? "ipv4" : "ipv6";
  std::ifstream file("/proc/sys/net/" + version + "/conf/" + std::string(interface.view()) + "/forwarding");
  char value = 0;
  // Where /proc cannot be read, nothing is known against it.
  return !(file >> value) || value != '0';
}

std::vector<IpAddress> KernelRouting::boundaries() const {
  std::vector<IpAddress> addresses;
  const auto add = [&](const Prefix& prefix) {
    addresses.push_back(prefix.address());
    if (const auto next = ruleset::after(prefix)) addresses.push_back(*next);
  };
  for (const Prefix& prefix : prefixes_) add(prefix);
  add(kMulticastV4);
  add(kMulticastV6);
  addresses.push_back(IpAddress::v4(0xFFFFFFFF));
  std::ranges::sort(addresses);
  const auto repeated = std::ranges::unique(addresses);
  addresses.erase(repeated.begin(), repeated.end());
  return addresses;
}

}  // namespace tails::conntrack
