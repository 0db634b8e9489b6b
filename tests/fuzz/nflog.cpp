// Any bytes, as messages of nfnetlink_log: a blocked packet is read or it is none, never worse. Where the reader of the
// wire finds a sound packet, both say the same of it.
#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "host/nflog_message.h"
#include "net/netlink.h"
#include "net/wire.h"

namespace {

using namespace tails;  // NOLINT(google-build-using-namespace): the program's own file

void expect(bool holds) {
  if (!holds) std::abort();
}

void compare(std::span<const std::byte> bytes) {
  const auto blocked = host::read_blocked_packet(bytes);
  const wire::Ipv4 wire = wire::read_ipv4(bytes, {.ip_checksum = false, .transport_checksum = false});
  if (wire.fault != wire::Fault::kNone) return;
  expect(blocked && blocked->source.address == wire.source && blocked->destination.address == wire.destination);
  expect(blocked->protocol == wire.protocol);
  if (wire.protocol != protocol::kTcp && wire.protocol != protocol::kUdp) return;
  expect(blocked->source.port == wire.source_port && blocked->destination.port == wire.destination_port);
  expect(blocked->tcp_flags == wire.tcp_flags);
}

}  // namespace

/// A datagram of netlink, or (first byte 0xFF, which no message's length begins with here) a packet from its IP header.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  if (size > 0 && data[0] == 0xFF) {
    compare(bytes.subspan(1));
    return 0;
  }
  netlink::for_each_message(bytes, [](const nlmsghdr& message) {
    const auto read = host::read_nflog_message(message);
    if (read && read->packet) expect(read->packet->out.view().empty());
  });
  return 0;
}
