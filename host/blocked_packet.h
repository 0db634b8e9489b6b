#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "net/ids.h"
#include "net/packet.h"

namespace tails::host {

/// A packet that the filter logged before it stopped it, as far as the log tells.
struct BlockedPacket {
  uint8_t protocol = 0;
  Endpoint source;  ///< Ports are 0 where the protocol has none.
  Endpoint destination;
  InterfaceName out;
  std::optional<Uid> uid;  ///< Empty: no socket (the kernel's own packet).
  uint8_t icmp_type = 0;
  uint8_t tcp_flags = 0;
};

/// Reads what the kernel's LOG target writes (net/netfilter/nf_log_syslog.c): "PREFIXIN= OUT=eth0 SRC=… DST=… PROTO=TCP
/// SPT=… DPT=… UID=…". Nullopt where the message does not begin with `prefix` or is no such line. Pure.
std::optional<BlockedPacket> read_log_message(std::string_view message, std::string_view prefix);

/// Addresses, protocol and ports of a packet from its IP header on. Nullopt: no IP packet. Pure.
std::optional<BlockedPacket> read_blocked_packet(std::span<const std::byte> packet);

}  // namespace tails::host
