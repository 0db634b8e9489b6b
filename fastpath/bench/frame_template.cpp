#include "fastpath/bench/frame_template.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace tails::fastpath::bench {
namespace {

uint16_t get_u16(const std::byte* at) {
  return static_cast<uint16_t>(std::to_integer<unsigned>(at[0]) << 8 | std::to_integer<unsigned>(at[1]));
}
void put_u16(std::byte* at, uint16_t value) {
  at[0] = static_cast<std::byte>(value >> 8);
  at[1] = static_cast<std::byte>(value & 0xFF);
}
void put_u32(std::byte* at, uint32_t value) {
  put_u16(at, static_cast<uint16_t>(value >> 16));
  put_u16(at + 2, static_cast<uint16_t>(value));
}

constexpr uint16_t fold(uint32_t sum) {
  sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<uint16_t>((sum & 0xFFFF) + (sum >> 16));
}
/// RFC 1624: the sum without a word that it had.
constexpr uint16_t without(uint16_t sum, uint16_t word) { return fold(uint32_t{sum} + (~uint32_t{word} & 0xFFFF)); }

}  // namespace

FrameTemplate::FrameTemplate(std::string name, Side from, std::vector<std::byte> frame)
    : name_(std::move(name)), from_(from), bytes_(std::move(frame)) {
  assert(bytes_.size() >= 60 && bytes_.size() % 2 == 0);
  const size_t stamp = bytes_.size() - Stamp::kBytes;
  const auto ethernet = wire::read_ethernet(bytes_);
  is_ipv4_ = ethernet && ethernet->type == wire::kTypeIpv4;
  if (is_ipv4_) {
    ip_ = ethernet->header_bytes;
    const size_t transport = ip_ + 20;  // Templates have no options.
    address_ = from_ == Side::kInside ? ip_ + 16 : ip_ + 12;
    ip_checksum_ = ip_ + 10;
    switch (std::to_integer<uint8_t>(bytes_[ip_ + 9])) {
      case protocol::kTcp: transport_checksum_ = transport + 16; break;
      case protocol::kUdp: transport_checksum_ = transport + 6; break;
      case protocol::kIcmp: transport_checksum_ = transport + 2; break;
      default: break;
    }
    const uint8_t protocol = std::to_integer<uint8_t>(bytes_[ip_ + 9]);
    const bool has_ports = protocol == protocol::kTcp || protocol == protocol::kUdp || protocol == protocol::kSctp;
    if (has_ports) port_ = from_ == Side::kInside ? transport : transport + 2;
    // A fragment's transport header may not be one, and its checksum covers what is elsewhere.
    if ((get_u16(&bytes_[ip_ + 6]) & 0x3FFF) != 0) transport_checksum_ = 0;
    if ((get_u16(&bytes_[ip_ + 6]) & 0x1FFF) != 0) port_ = 0;
  }
  // Out of the sums goes what each frame puts in anew.
  const auto forget = [&](size_t at, bool in_ip, bool in_transport) {
    const uint16_t word = get_u16(&bytes_[at]);
    if (in_ip) ip_sum_ = without(ip_sum_, word);
    if (in_transport) transport_sum_ = without(transport_sum_, word);
    put_u16(&bytes_[at], 0);
  };
  if (ip_checksum_ != 0) ip_sum_ = static_cast<uint16_t>(~get_u16(&bytes_[ip_checksum_]));
  if (transport_checksum_ != 0) transport_sum_ = static_cast<uint16_t>(~get_u16(&bytes_[transport_checksum_]));
  // ICMP's checksum does not cover the addresses.
  const bool covers_addresses = transport_checksum_ != 0 && transport_checksum_ != ip_ + 22;
  for (size_t i = 0; address_ != 0 && i < 4; i += 2) forget(address_ + i, true, covers_addresses);
  if (port_ != 0) forget(port_, false, true);
  for (size_t i = 0; i < Stamp::kBytes; i += 2) forget(stamp + i, false, true);
}

void FrameTemplate::write(const Peer& peer, const Stamp& stamp, std::byte* to) const {
  std::memcpy(to, bytes_.data(), bytes_.size());
  std::byte* end = to + bytes_.size() - Stamp::kBytes;
  put_u32(end, stamp.sequence);
  put_u16(end + 4, stamp.check);
  uint32_t sum = uint32_t{stamp.word(0)} + stamp.word(1) + stamp.word(2);
  if (!is_ipv4_) return;
  const uint32_t address = (peer.address >> 16) + (peer.address & 0xFFFF);
  put_u32(to + address_, peer.address);
  put_u16(to + ip_checksum_, static_cast<uint16_t>(~fold(ip_sum_ + address)));
  if (port_ != 0) {
    put_u16(to + port_, peer.own_port);
    sum += peer.own_port;
  }
  if (transport_checksum_ == 0) return;
  if (transport_checksum_ != ip_ + 22) sum += address;
  const auto checksum = static_cast<uint16_t>(~fold(transport_sum_ + fold(sum)));
  // RFC 768: a UDP checksum of zero would say that there is none.
  put_u16(to + transport_checksum_, checksum == 0 && transport_checksum_ == ip_ + 26 ? 0xFFFF : checksum);
}

bool FrameTemplate::is(wire::Bytes frame, const Peer& peer, const Stamp& stamp, std::byte* written) const {
  if (frame.size() != bytes_.size()) return false;
  write(peer, stamp, written);
  if (!is_ipv4_) return std::memcmp(frame.data() + 12, written + 12, frame.size() - 12) == 0;
  const auto same = [&](size_t from, size_t to) {
    return std::memcmp(frame.data() + from, written + from, to - from) == 0;
  };
  return same(12, ip_ + 1) && same(ip_ + 2, ip_ + 8) && same(ip_ + 9, ip_ + 10) && same(ip_ + 12, frame.size()) &&
         wire::checksum_add(frame.subspan(ip_, 20)) == 0xFFFF;
}

}  // namespace tails::fastpath::bench
