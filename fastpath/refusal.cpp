#include "fastpath/refusal.h"

#include <cassert>
#include <cstring>

#include "fastpath/big_endian.h"
#include "net/flow_model.h"
#include "net/frame_builder.h"

namespace tails::fastpath {
namespace {

constexpr size_t kEthernetBytes = 14, kIpBytes = 20, kTcpBytes = 20, kIcmpBytes = 8;

/// One station's own address.
bool is_single(const IpAddress& address) {
  const uint32_t bits = address.v4_bits();
  return bits >> 24 != 0 && bits >> 28 < 0xE && !kLoopbackNetV4.contains(address);
}

bool may_be_answered(const wire::Ethernet& ethernet, const wire::Ipv4& ip) {
  if (wire::is_multicast(ethernet.destination) || wire::is_multicast(ethernet.source)) return false;
  if (!is_single(ip.source) || !is_single(ip.destination)) return false;
  if (ip.protocol == protocol::kTcp) return (ip.tcp_flags & tcp_flag::kRst) == 0;
  return ip.protocol != protocol::kIcmp ||
         flow_model::event_of(ip.protocol, ip.icmp_type) == flow_model::Event::kRequest;
}

/// `refused` from its IP header on.
void write_reset(const wire::Ipv4& ip, const std::byte* refused, std::byte* tcp) {
  const std::byte* theirs = refused + ip.header_bytes;
  std::memset(tcp, 0, kTcpBytes);
  put16(tcp, ip.destination_port);
  put16(tcp + 2, ip.source_port);
  tcp[12] = std::byte{kTcpBytes / 4 << 4};
  if ((ip.tcp_flags & tcp_flag::kAck) != 0) {
    put32(tcp + 4, get32(theirs + 8));
    tcp[13] = std::byte{tcp_flag::kRst};
    return;
  }
  const size_t header = size_t{4} * (std::to_integer<size_t>(theirs[12]) >> 4);
  const auto length = static_cast<uint32_t>(ip.total_bytes - ip.header_bytes - header);
  const uint32_t flags =
      ((ip.tcp_flags & tcp_flag::kSyn) != 0 ? 1U : 0U) + ((ip.tcp_flags & tcp_flag::kFin) != 0 ? 1U : 0U);
  put32(tcp + 8, get32(theirs + 4) + length + flags);
  tcp[13] = std::byte{tcp_flag::kRst | tcp_flag::kAck};
}

}  // namespace

size_t write_refusal(wire::Bytes frame, std::span<std::byte> out) {
  assert(out.size() >= kMaxRefusalBytes);
  const auto ethernet = wire::read_ethernet(frame);
  if (!ethernet || ethernet->type != wire::kTypeIpv4 || ethernet->vlan) return 0;
  const wire::Bytes refused = frame.subspan(kEthernetBytes);
  const wire::Ipv4 ip = wire::read_ipv4(refused, {false, false, 0});
  if (ip.fault != wire::Fault::kNone || !may_be_answered(*ethernet, ip)) return 0;

  const bool is_tcp = ip.protocol == protocol::kTcp;
  const size_t quoted = is_tcp ? 0 : std::min(ip.total_bytes, ip.header_bytes + 8);
  const size_t ip_bytes = kIpBytes + (is_tcp ? kTcpBytes : kIcmpBytes + quoted);

  std::memcpy(out.data(), ethernet->source.data(), 6);
  std::memcpy(out.data() + 6, ethernet->destination.data(), 6);
  put16(out.data() + 12, wire::kTypeIpv4);
  std::byte* header = out.data() + kEthernetBytes;
  std::memset(header, 0, kIpBytes);
  header[0] = std::byte{0x45};
  put16(header + 2, static_cast<uint32_t>(ip_bytes));
  put16(header + 6, 0x4000);  // may not be fragmented: then it needs no number
  header[8] = std::byte{64};
  header[9] = std::byte{is_tcp ? protocol::kTcp : protocol::kIcmp};
  put32(header + 12, ip.destination.v4_bits());
  put32(header + 16, ip.source.v4_bits());
  std::byte* transport = header + kIpBytes;
  if (is_tcp) {
    write_reset(ip, refused.data(), transport);
  } else {
    constexpr unsigned kUnreachable = 3, kPort = 3;
    std::memset(transport, 0, kIcmpBytes);
    transport[0] = std::byte{kUnreachable};
    transport[1] = std::byte{kPort};
    std::memcpy(transport + kIcmpBytes, refused.data(), quoted);
  }
  wire::fix_checksums(std::span(header, ip_bytes));
  return kEthernetBytes + ip_bytes;
}

}  // namespace tails::fastpath
