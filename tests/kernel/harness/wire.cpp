#include "tests/kernel/harness/wire.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/socket.h>

#include <algorithm>
#include <string>

#include "tests/kernel/harness/failure.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/harness/testbed.h"

namespace tails::testbed {
namespace {

sockaddr* generic(sockaddr_ll& address) { return reinterpret_cast<sockaddr*>(&address); }

}  // namespace

Result<Wire> Wire::watch(const NetworkNamespace& far_side) {
  const Inside inside(far_side);
  Descriptor socket(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL)));
  if (!socket.is_open()) return system_failure("packet socket");
  if (auto done = enlarge_receive_buffer(socket); !done) return tl::unexpected(done.error());
  return Wire(far_side, std::move(socket));
}

Result<std::vector<Frame>> Wire::drain() {
  std::vector<Frame> frames;
  const Inside inside(*far_side_);
  for (;;) {
    sockaddr_ll from{};
    socklen_t length = sizeof from;
    const ssize_t size =
        ::recvfrom(socket_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT, generic(from), &length);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return frames;
    if (size < 0) return system_failure("read the wire");
    const uint16_t kind = ntohs(from.sll_protocol);
    if (from.sll_pkttype == PACKET_OUTGOING || from.sll_hatype == ARPHRD_LOOPBACK ||
        (kind != ETH_P_IP && kind != ETH_P_IPV6)) {
      continue;
    }
    char name[IF_NAMESIZE] = {};
    ::if_indextoname(static_cast<unsigned>(from.sll_ifindex), name);
    frames.push_back(
        {InterfaceName::make(name).value_or(InterfaceName{}), Bytes(buffer_.begin(), buffer_.begin() + size)});
  }
}

Result<unsigned> Wire::lost() {
  tpacket_stats counted{};
  socklen_t length = sizeof counted;
  if (::getsockopt(socket_.get(), SOL_PACKET, PACKET_STATISTICS, &counted, &length) != 0) {
    return system_failure("PACKET_STATISTICS");
  }
  return counted.tp_drops;
}

Result<void> Wire::inject(const InterfaceName& interface, std::span<const std::byte> packet) {
  const Inside inside(*far_side_);
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  const bool is_v6 = !packet.empty() && static_cast<uint8_t>(packet[0]) >> 4 == 6;
  to.sll_protocol = htons(is_v6 ? ETH_P_IPV6 : ETH_P_IP);
  to.sll_ifindex = static_cast<int>(::if_nametoindex(std::string(interface.view()).c_str()));
  to.sll_halen = ETH_ALEN;
  if (!interface.is_loopback()) std::copy(kCableMac.begin(), kCableMac.end(), to.sll_addr);
  if (::sendto(socket_.get(), packet.data(), packet.size(), 0, generic(to), sizeof to) < 0) {
    return system_failure("put a packet on " + std::string(interface.view()));
  }
  return {};
}

}  // namespace tails::testbed
