#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "net/wire.h"

namespace tails::fastpath {

/// What Ethernet carries at least, without its checksum (IEEE 802.3 section 4A.4).
inline constexpr size_t kLeastFrame = 60;

/// Where the packet in an Ethernet frame of `length` bytes ends: an IPv4 packet where its length says (RFC 791 section
/// 3.1), ARP after 28 bytes (RFC 826); others fill the frame. The frame was found to be sound and has no VLAN tag.
inline size_t packet_end(const std::byte* frame, size_t length) {
  constexpr size_t kEthernet = 14, kArp = 28;
  const auto big16 = [&](size_t at) {
    return std::to_integer<size_t>(frame[at]) << 8 | std::to_integer<size_t>(frame[at + 1]);
  };
  if (length < kEthernet + 4) return length;
  const size_t type = big16(12);
  const size_t end = type == wire::kTypeIpv4  ? kEthernet + big16(16)
                     : type == wire::kTypeArp ? kEthernet + kArp
                                              : length;
  return std::min(end, length);
}

/// Nobody reads what lies behind a packet's end, so it could carry anything past any rule: it is cut off, and zeros are
/// there as far as a frame needs them. Returns the frame's new length.
inline size_t cut_behind_packet(std::byte* frame, size_t length) {
  const size_t end = packet_end(frame, length);
  if (end == length) [[likely]]
    return length;
  const size_t rest = std::min(length, std::max(end, kLeastFrame));
  std::memset(frame + end, 0, rest - end);
  return rest;
}

}  // namespace tails::fastpath
