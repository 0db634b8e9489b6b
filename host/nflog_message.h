#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <optional>

#include "host/blocked_packet.h"

namespace tails::host {

/// What one message of nfnetlink_log says (linux/netfilter/nfnetlink_log.h).
struct NflogMessage {
  std::optional<uint32_t> sequence;     ///< Counts this group's messages, also those that were thrown away.
  std::optional<uint32_t> out_index;    ///< The interface by which the packet would have left.
  std::optional<BlockedPacket> packet;  ///< Empty: none was sent along, or it is no IP packet. Without `out`.
};

/// Nullopt when it is another kind of message. Never reads outside the message. Pure.
std::optional<NflogMessage> read_nflog_message(const nlmsghdr& message);

}  // namespace tails::host
