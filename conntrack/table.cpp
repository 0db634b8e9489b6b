#include "conntrack/table.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "net/netlink.h"

namespace tails::conntrack {

Error flow_error(std::string_view what, Errno error) {
  const int number = static_cast<int>(error);
  std::string message(what);
  if (number == EPROTONOSUPPORT || number == EAFNOSUPPORT || number == EINVAL) {
    // nfnetlink answers EINVAL for a subsystem that is neither there nor loadable (nfnetlink_rcv_msg); a kernel
    // without nfnetlink has no such socket.
    return {ErrorKind::kRefused, message + ": this kernel has no conntrack netlink (module nf_conntrack_netlink)",
            "Load it with `modprobe nf_conntrack_netlink`, or use a kernel with CONFIG_NF_CT_NETLINK.",
            EPROTONOSUPPORT};
  }
  message += ": " + words(error);
  if (number == EPERM) return {ErrorKind::kRefused, message, "Run as root, or with CAP_NET_ADMIN.", number};
  if (number == EAGAIN) {
    return {ErrorKind::kRefused, message, "The flow table changed during every attempt to read it. Try again.", number};
  }
  return {ErrorKind::kRefused, message, {}, number};
}

Result<FlowTable> FlowTable::open() {
  auto socket = NetlinkSocket::open(NETLINK_NETFILTER);
  if (!socket) return tl::unexpected(flow_error("cannot read the flow table", socket.error()));
  FlowTable table(std::move(*socket));
  // Asks at once, so that a missing right or module is one clear error and not one of each later request.
  if (const auto count = table.count(); !count) return tl::unexpected(count.error());
  return table;
}

Result<uint64_t> FlowTable::count() {
  Request request(static_cast<uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET_STATS), 0, sizeof(nfgenmsg));
  uint64_t entries = 0;
  const auto asked = socket_.ask(request, [&](const nlmsghdr& message) {
    const auto global = netlink::find(netlink::Attributes(netlink::message_payload(message, sizeof(nfgenmsg))),
                                      CTA_STATS_GLOBAL_ENTRIES);
    if (global) entries = global->be32();
  });
  if (!asked) return tl::unexpected(flow_error("cannot read the flow table", asked.error()));
  return entries;
}

Result<void> FlowTable::for_each(const FlowFilter& filter, const std::function<void(const Flow&)>& visit,
                                 const std::function<void()>& on_restart) {
  Request request = dump_request(filter);
  const auto dumped = socket_.dump(
      request,
      [&](const nlmsghdr& message) {
        const auto flow = decode_flow(message);
        if (flow && filter.matches(*flow)) visit(*flow);
      },
      on_restart);
  if (!dumped) return tl::unexpected(flow_error("cannot list flows", dumped.error()));
  return {};
}

Result<std::optional<Flow>> FlowTable::find(const FlowTuple& tuple, const Zone& zone) {
  Request request = get_request(tuple, zone);
  std::optional<Flow> found;
  const auto asked = socket_.ask(request, [&](const nlmsghdr& message) {
    if (auto flow = decode_flow(message)) found = flow;
  });
  if (!asked && asked.error() != Errno{ENOENT}) {
    return tl::unexpected(flow_error("cannot look up a flow", asked.error()));
  }
  return found;
}

Result<Removed> FlowTable::remove(std::span<const Flow> flows) {
  Removed removed;
  batch_.clear();
  for (const Flow& flow : flows) {
    batch_.add(flow);
    if (!batch_.full()) continue;
    if (const auto sent = send_batch(removed); !sent) return tl::unexpected(sent.error());
  }
  if (batch_.size() > 0) {
    if (const auto sent = send_batch(removed); !sent) return tl::unexpected(sent.error());
  }
  return removed;
}

// The kernel works through all messages of one send before the call returns, and answers only failures and the
// last message: their acknowledgements fit the receive buffer whatever their number.
Result<void> FlowTable::send_batch(Removed& removed) {
  const auto failed = [](Errno error) { return tl::unexpected(flow_error("cannot remove flows", error)); };
  const uint32_t first = sequence_;
  const uint32_t last = first + static_cast<uint32_t>(batch_.size()) - 1;
  sequence_ = last + 1 < first ? 1U << 31 : last + 1;
  const size_t sent = batch_.size();
  const auto messages = batch_.finish(first);
  if (const auto done = socket_.send(messages); !done) return failed(done.error());
  batch_.clear();

  uint64_t gone = 0;
  bool complete = false;
  std::optional<Errno> error;
  while (!complete) {
    const auto datagram = socket_.receive();
    if (!datagram) return failed(datagram.error());
    netlink::for_each_message(*datagram, [&](const nlmsghdr& message) {
      if (message.nlmsg_type != NLMSG_ERROR || message.nlmsg_seq < first || message.nlmsg_seq > last) return;
      const int number = error_in(message);
      if (number == ENOENT) {
        ++gone;
      } else if (number != 0 && !error) {
        error = Errno{number};
      }
      if (message.nlmsg_seq == last) complete = true;
    });
  }
  if (error) return failed(*error);
  removed.flows += sent - gone;
  removed.gone += gone;
  return {};
}

Result<std::optional<Removed>> FlowTable::flush(const FlowFilter& filter) {
  auto request = flush_request(filter);
  if (!request) return std::nullopt;
  const auto before = count();
  if (!before) return tl::unexpected(before.error());
  const auto asked = socket_.ask(*request, {});
  // What a kernel says that does not filter flushes: see flush_request.
  if (!asked && (asked.error() == Errno{EINVAL} || asked.error() == Errno{EOPNOTSUPP})) return std::nullopt;
  if (!asked) return tl::unexpected(flow_error("cannot remove flows", asked.error()));
  const auto after = count();
  if (!after) return tl::unexpected(after.error());
  return Removed{*before - std::min(*before, *after), 0};
}

}  // namespace tails::conntrack
