#include "host/nflog_message.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>

#include "net/netlink.h"

namespace tails::host {

std::optional<NflogMessage> read_nflog_message(const nlmsghdr& message) {
  if (message.nlmsg_type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET)) return std::nullopt;
  NflogMessage read;
  std::optional<Uid> uid;
  for (const netlink::Attribute attribute : netlink::Attributes(netlink::message_payload(message, sizeof(nfgenmsg)))) {
    switch (attribute.type()) {
      case NFULA_SEQ: read.sequence = attribute.be32(); break;
      case NFULA_IFINDEX_OUTDEV: read.out_index = attribute.be32(); break;
      case NFULA_UID:
        if (attribute.payload().size() >= sizeof(uint32_t)) uid = Uid{attribute.be32()};
        break;
      case NFULA_PAYLOAD: read.packet = read_blocked_packet(attribute.payload()); break;
      default: break;
    }
  }
  if (read.packet) read.packet->uid = uid;
  return read;
}

}  // namespace tails::host
