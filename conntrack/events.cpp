#include "conntrack/events.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "conntrack/table.h"
#include "conntrack/wire.h"
#include "net/netlink.h"

namespace tails::conntrack {

Result<FlowEvents> FlowEvents::open(int queue_bytes) {
  constexpr std::string_view kWhat = "cannot watch flows";
  // Joining a group never fails over a missing module; asking the table does.
  if (const auto table = FlowTable::open(); !table) return tl::unexpected(table.error());
  auto socket = NetlinkSocket::open(NETLINK_NETFILTER);
  if (!socket) return tl::unexpected(flow_error(kWhat, socket.error()));
  (void)::setsockopt(socket->fd(), SOL_SOCKET, SO_RCVBUFFORCE, &queue_bytes, sizeof queue_bytes);
  for (const int group : std::array{int{NFNLGRP_CONNTRACK_NEW}, int{NFNLGRP_CONNTRACK_DESTROY}}) {
    if (::setsockopt(socket->fd(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
      return tl::unexpected(flow_error(kWhat, Errno{errno}));
    }
  }
  return FlowEvents(std::move(*socket));
}

Result<FlowEvents::News> FlowEvents::wait(std::chrono::milliseconds patience) {
  News news;
  auto timeout = static_cast<int>(patience.count());
  while (news.events.size() < kMaxEvents) {
    pollfd ready{socket_.fd(), POLLIN, 0};
    const int count = ::poll(&ready, 1, timeout);
    if (count < 0 && errno != EINTR) return tl::unexpected(flow_error("cannot watch flows", Errno{errno}));
    if (count <= 0) break;
    timeout = 0;  // Only what is there already.
    const auto datagram = socket_.receive();
    if (!datagram) {
      if (datagram.error() != Errno{ENOBUFS}) return tl::unexpected(flow_error("cannot watch flows", datagram.error()));
      news.is_incomplete = true;
      continue;
    }
    netlink::for_each_message(*datagram, [&](const nlmsghdr& message) {
      const auto flow = decode_flow(message);
      if (!flow) return;
      const bool is_end = (message.nlmsg_type & 0xFF) == IPCTNL_MSG_CT_DELETE;
      news.events.push_back({is_end ? FlowEvent::Kind::kEnded : FlowEvent::Kind::kOpened, *flow});
    });
  }
  return news;
}

}  // namespace tails::conntrack
