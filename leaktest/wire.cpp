#include "leaktest/wire.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string_view>
#include <thread>

#include "host/refusal.h"
#include "leaktest/bed.h"
#include "leaktest/places.h"
#include "net/frame_builder.h"
#include "net/wire.h"

namespace tails::leaktest {
namespace {

constexpr std::string_view kMagic = "tlk\xA7\x1E";
constexpr size_t kTokenBytes = 9;  // the magic and a number
constexpr size_t kEthernetHeader = 14;

using host::refused;

uint8_t u8(std::span<const std::byte> bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }
uint16_t u16(std::span<const std::byte> bytes, size_t at) {
  return static_cast<uint16_t>(u8(bytes, at) << 8 | u8(bytes, at + 1));
}
uint32_t u32(std::span<const std::byte> bytes, size_t at) {
  return uint32_t{u16(bytes, at)} << 16 | u16(bytes, at + 2);
}

std::optional<uint32_t> find_token(std::span<const std::byte> bytes) {
  const auto magic = std::as_bytes(std::span(kMagic.data(), kMagic.size()));
  const auto at = std::search(bytes.begin(), bytes.end(), magic.begin(), magic.end());
  const auto rest = static_cast<size_t>(bytes.end() - at);
  if (rest < kTokenBytes) return std::nullopt;
  return u32(bytes.last(rest), kMagic.size());
}

void read_transport(std::span<const std::byte> bytes, Frame& frame) {
  const bool is_icmp = frame.protocol == protocol::kIcmp || frame.protocol == protocol::kIcmpv6;
  if (bytes.size() < 8) return;
  if (is_icmp) {
    frame.icmp_type = u8(bytes, 0);
    frame.icmp_id = u16(bytes, 4);
    return;
  }
  if (frame.protocol != protocol::kTcp && frame.protocol != protocol::kUdp) return;
  frame.source_port = u16(bytes, 0);
  frame.destination_port = u16(bytes, 2);
  if (frame.protocol == protocol::kTcp && bytes.size() >= 14) {
    frame.tcp_sequence = u32(bytes, 4);
    frame.tcp_flags = u8(bytes, 13);
  }
}

/// Answers are not answered, or two of us would go on for ever.
bool is_answer(std::span<const std::byte> packet) {
  const auto text = std::as_bytes(std::span(kAnswer.data(), kAnswer.size()));
  return packet.size() >= text.size() && std::ranges::equal(packet.last(text.size()), text);
}

/// RFC 8200, sections 3 and 8.1 (the checksum).
Bytes behind_ipv6_header(const PacketSpec& spec, Bytes transport) {
  constexpr size_t kHeader = 40, kAddresses = 8;
  constexpr auto kVersion = std::byte{0x60}, kHopLimit = std::byte{64};
  const auto length = static_cast<uint16_t>(transport.size());
  Bytes packet(kHeader);
  packet[0] = kVersion;
  packet[4] = static_cast<std::byte>(length >> 8);
  packet[5] = static_cast<std::byte>(length & 0xFF);
  packet[6] = static_cast<std::byte>(spec.protocol);
  packet[7] = kHopLimit;
  spec.source.to_wire(&packet[kAddresses]);
  spec.destination.to_wire(&packet[kAddresses + 16]);
  const size_t at = spec.protocol == protocol::kTcp ? 16 : spec.protocol == protocol::kUdp ? 6 : 0;
  if (at != 0) {
    transport[at] = transport[at + 1] = {};
    const uint32_t pseudo = wire::checksum_add(std::span(packet).subspan(kAddresses));
    const auto sum = static_cast<uint16_t>(~wire::checksum_add(transport, pseudo + spec.protocol + length));
    transport[at] = static_cast<std::byte>(sum >> 8);
    transport[at + 1] = static_cast<std::byte>(sum & 0xFF);
  }
  packet.insert(packet.end(), transport.begin(), transport.end());
  return packet;
}

sockaddr* generic(sockaddr_ll& address) { return reinterpret_cast<sockaddr*>(&address); }

}  // namespace

bool Frame::is_icmp_error() const {
  if (protocol == protocol::kIcmpv6) return icmp_type < 128;
  return protocol == protocol::kIcmp &&
         (icmp_type == 3 || icmp_type == 4 || icmp_type == 5 || icmp_type == 11 || icmp_type == 12);
}

std::optional<Frame> read_frame(std::span<const std::byte> packet) {
  if (packet.empty()) return std::nullopt;
  Frame frame;
  const unsigned version = u8(packet, 0) >> 4;
  if (version == 4 && packet.size() >= 20) {
    const size_t header = size_t{u8(packet, 0) & 0xFU} * 4;
    frame.protocol = u8(packet, 9);
    frame.source = IpAddress::from_wire(Family::kIpv4, &packet[12]);
    frame.destination = IpAddress::from_wire(Family::kIpv4, &packet[16]);
    frame.is_later_fragment = (u16(packet, 6) & 0x1FFF) != 0;
    if (header < 20 || header > packet.size()) return frame;
    if (!frame.is_later_fragment) read_transport(packet.subspan(header), frame);
  } else if (version == 6 && packet.size() >= 40) {
    frame.protocol = u8(packet, 6);
    frame.source = IpAddress::from_wire(Family::kIpv6, &packet[8]);
    frame.destination = IpAddress::from_wire(Family::kIpv6, &packet[24]);
    read_transport(packet.subspan(40), frame);
  } else {
    return std::nullopt;
  }
  // An error quotes the packet that it is about, token included: it is not that packet.
  if (!frame.is_icmp_error()) frame.token = find_token(packet);
  return frame;
}

Bytes token_payload(uint32_t id, size_t bytes) {
  Bytes token;
  for (const char c : kMagic) token.push_back(static_cast<std::byte>(c));
  for (int shift = 24; shift >= 0; shift -= 8) token.push_back(static_cast<std::byte>(id >> shift & 0xFF));
  Bytes payload;
  while (payload.size() < bytes) payload.insert(payload.end(), token.begin(), token.end());
  return payload;
}

Bytes compose(const PacketSpec& spec) {
  const bool is_v4 = spec.destination.family == Family::kIpv4;
  wire::FrameSpec frame;
  // Of IPv6 the transport header is made as of IPv4, and its checksum then made anew.
  frame.source = is_v4 ? spec.source : IpAddress::v4(0);
  frame.destination = is_v4 ? spec.destination : IpAddress::v4(0);
  frame.protocol = spec.protocol;
  frame.source_port = spec.source_port;
  frame.destination_port = spec.destination_port;
  frame.tcp_flags = spec.tcp_flags;
  frame.tcp_sequence = spec.sequence;
  frame.tcp_acknowledgement = spec.acknowledgement;
  frame.icmp_type = spec.icmp_type;
  frame.icmp_id = spec.icmp_id;
  frame.payload = spec.payload;
  Bytes bytes = wire::build_frame(frame);
  bytes.erase(bytes.begin(), bytes.begin() + kEthernetHeader);
  bytes.resize(u16(bytes, 2));  // without Ethernet's padding
  if (is_v4) return bytes;
  constexpr size_t kHeaderV4 = 20;
  bytes.erase(bytes.begin(), bytes.begin() + kHeaderV4);
  return behind_ipv6_header(spec, std::move(bytes));
}

Result<Wire> Wire::open(const Descriptor& space, Role role, bool loopback) {
  Descriptor socket;
  std::vector<std::pair<int, InterfaceName>> interfaces;
  auto opened = inside(space, [&]() -> Result<void> {
    socket = Descriptor(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL)));
    if (!socket.is_open()) return refused("cannot watch a wire", errno);
    const int buffer = 64 << 20;
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0) {
      return refused("cannot make room for what a wire carries", errno);
    }
    struct if_nameindex* list = ::if_nameindex();
    for (const struct if_nameindex* at = list; at != nullptr && at->if_index != 0; ++at) {
      if (const auto name = InterfaceName::make(at->if_name)) {
        interfaces.emplace_back(static_cast<int>(at->if_index), *name);
      }
    }
    ::if_freenameindex(list);
    return {};
  });
  if (!opened) return tl::unexpected(opened.error());
  return Wire(std::move(socket), role, loopback, std::move(interfaces));
}

Result<std::vector<Frame>> Wire::drain() {
  std::vector<Frame> frames;
  for (;;) {
    sockaddr_ll from{};
    socklen_t length = sizeof from;
    const ssize_t size = ::recvfrom(socket_.get(), buffer_.data(), buffer_.size(), 0, generic(from), &length);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno != EAGAIN && errno != ENETDOWN) return refused("cannot read the wire", errno);
    if (size < 0) break;
    const uint16_t kind = ntohs(from.sll_protocol);
    if (from.sll_pkttype == PACKET_OUTGOING || (from.sll_hatype == ARPHRD_LOOPBACK) != loopback_ ||
        (kind != ETH_P_IP && kind != ETH_P_IPV6)) {
      continue;
    }
    const std::span packet(buffer_.data(), static_cast<size_t>(size));
    auto frame = read_frame(packet);
    if (!frame) continue;
    const auto named = std::ranges::find(interfaces_, from.sll_ifindex, &std::pair<int, InterfaceName>::first);
    if (named != interfaces_.end()) frame->interface = named->second;
    if (role_ == Role::kAnswers) {
      if (auto answered = answer(*frame, packet); !answered) return tl::unexpected(answered.error());
    }
    frames.push_back(std::move(*frame));
  }
  tpacket_stats lost{};
  socklen_t length = sizeof lost;
  if (::getsockopt(socket_.get(), SOL_PACKET, PACKET_STATISTICS, &lost, &length) == 0 && lost.tp_drops > 0) {
    return fail(ErrorKind::kRefused, "the kernel lost " + std::to_string(lost.tp_drops) + " packets of the capture",
                "Try again while the machine is less busy.");
  }
  return frames;
}

Result<void> Wire::answer(const Frame& frame, std::span<const std::byte> packet) {
  const bool is_for_one = frame.destination.family == Family::kIpv4 && !is_for_many(frame.destination);
  if (!is_for_one || frame.is_later_fragment || is_answer(packet)) return {};
  PacketSpec reply;
  reply.source = frame.destination;
  reply.destination = frame.source;
  reply.source_port = frame.destination_port;
  reply.destination_port = frame.source_port;
  reply.protocol = frame.protocol;
  if (frame.protocol == protocol::kTcp && (frame.tcp_flags & tcp_flag::kSynMask) == tcp_flag::kSyn) {
    reply.tcp_flags = tcp_flag::kSyn | tcp_flag::kAck;
    reply.sequence = 1000;
    reply.acknowledgement = frame.tcp_sequence + 1;
  } else if (frame.protocol == protocol::kUdp) {
    const auto text = std::as_bytes(std::span(kAnswer.data(), kAnswer.size()));
    reply.payload.assign(text.begin(), text.end());
  } else if (frame.protocol == protocol::kIcmp && frame.icmp_type == 8) {
    reply.icmp_type = 0;
    reply.icmp_id = frame.icmp_id;
  } else {
    return {};
  }
  return inject(frame.interface, compose(reply));
}

Result<void> Wire::inject(const InterfaceName& interface, std::span<const std::byte> packet) {
  const auto at = std::ranges::find(interfaces_, interface, &std::pair<int, InterfaceName>::second);
  if (at == interfaces_.end()) return refused("no interface " + std::string(interface.view()), ENODEV);
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_protocol = htons(u8(packet, 0) >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP);
  to.sll_ifindex = at->first;
  to.sll_halen = ETH_ALEN;
  std::copy(kCableMac.begin(), kCableMac.end(), to.sll_addr);
  // A processor that is behind with what it received takes no more for a while (netdev_max_backlog).
  constexpr int kMostTries = 2000;
  constexpr std::chrono::milliseconds kWait{1};
  for (int tries = 0; ::sendto(socket_.get(), packet.data(), packet.size(), 0, generic(to), sizeof to) < 0; ++tries) {
    if (errno != ENOBUFS || tries == kMostTries) {
      return refused("cannot put a packet on " + std::string(interface.view()), errno);
    }
    std::this_thread::sleep_for(kWait);
  }
  return {};
}

}  // namespace tails::leaktest
