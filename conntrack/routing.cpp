#include "conntrack/routing.h"

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <string>

namespace tails::conntrack {
namespace {

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
      request, [&](const nlmsghdr& message) { tables_.take_link(message); }, [&] { tables_.links.clear(); });
}

Result<void, Errno> KernelRouting::read_routes() {
  Request request(RTM_GETROUTE, NLM_F_DUMP, sizeof(rtmsg));
  return socket_.dump(
      request, [&](const nlmsghdr& message) { tables_.take_route(message); }, [&] { tables_.forget_routes(); });
}

Result<void, Errno> KernelRouting::read_rules() {
  Request request(RTM_GETRULE, NLM_F_DUMP, sizeof(fib_rule_hdr));
  const auto dumped = socket_.dump(
      request, [&](const nlmsghdr& message) { tables_.take_rule(message); }, [&] { tables_.rules.clear(); });
  // A kernel without policy routing has none.
  if (!dumped && dumped.error() == Errno{EOPNOTSUPP}) return {};
  return dumped;
}

bool KernelRouting::is_local(const IpAddress& address) const { return tables_.is_local(address); }
AddressType KernelRouting::type(const IpAddress& address) const { return tables_.type(address); }
std::vector<IpAddress> KernelRouting::boundaries() const { return tables_.boundaries(); }

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
    if (const auto name = tables_.interface_of(message)) route.interface = *name;
  });
  // A route by this interface may be missing; the socket sends there all the same (ip_route_output_key_hash).
  if (!asked && bound_interface != 0) route.interface = tables_.link(bound_interface).value_or(InterfaceName{});
  return route;
}

bool KernelRouting::forwards(const InterfaceName& interface, Family family) const {
  const std::string version = family == Family::kIpv4 ? "ipv4" : "ipv6";
  std::ifstream file("/proc/sys/net/" + version + "/conf/" + std::string(interface.view()) + "/forwarding");
  char value = 0;
  // Where /proc cannot be read, nothing is known against it.
  return !(file >> value) || value != '0';
}

}  // namespace tails::conntrack
