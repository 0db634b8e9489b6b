// Any bytes, as what the kernel lists over netlink: interfaces, addresses, routes, rules, sockets, other filters. Read
// or passed over, never worse; what was read can be asked and shown.
#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "conntrack/netlink.h"
#include "conntrack/routing_tables.h"
#include "conntrack/sockets.h"
#include "host/link_messages.h"
#include "host/nf_tables_hooks.h"
#include "net/netlink.h"

namespace {

using namespace tails;  // NOLINT(google-build-using-namespace): the program's own file

void expect(bool holds) {
  if (!holds) std::abort();
}

void check_routes(const conntrack::RoutingTables& routes) {
  const auto boundaries = routes.boundaries();
  for (const IpAddress& address : boundaries) {
    const AddressType type = routes.type(address);
    expect(type != AddressType::kLocal || routes.is_local(address));
  }
}

void check_sockets(std::vector<conntrack::Socket> sockets) {
  if (sockets.empty()) return;
  const conntrack::Socket first = sockets.front();
  const conntrack::SocketTable table(std::move(sockets));
  FlowTuple tuple;
  tuple.protocol = first.protocol;
  tuple.source = first.local;
  tuple.destination = first.remote;
  std::vector<const conntrack::Socket*> senders;
  table.senders(tuple, senders);
  for (const conntrack::Socket* socket : senders) expect(socket->local.port == tuple.source.port);
  if (first.is_connected() && first.local.address.family == first.remote.address.family) expect(!senders.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  host::NfTablesHooks hooks;
  conntrack::RoutingTables routes;
  std::vector<conntrack::Socket> sockets;
  netlink::for_each_message(std::as_bytes(std::span(data, size)), [&](const nlmsghdr& message) {
    expect(conntrack::error_in(message) >= 0);
    if (const auto link = host::read_link(message)) expect(!link->name.view().empty());
    if (const auto address = host::read_link_address(message)) expect(address->network.contains(address->address));
    host::read_xdp_state(message);
    host::read_filter_kind(message);
    hooks.take_chain(message);
    hooks.take_rule(message);
    routes.take_link(message);
    routes.take_route(message);
    routes.take_rule(message);
    if (const auto interface = routes.interface_of(message)) expect(!routes.links.empty());
    const uint8_t protocol = (message.nlmsg_seq & 1) == 0 ? protocol::kTcp : protocol::kUdp;
    if (auto socket = conntrack::decode_socket(message, protocol)) sockets.push_back(*socket);
  });
  expect(hooks.empty() == hooks.findings().empty());
  check_routes(routes);
  check_sockets(std::move(sockets));
  return 0;
}
