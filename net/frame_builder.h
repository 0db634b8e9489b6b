#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "net/wire.h"

namespace tails::wire {

/// An IPv4 frame to be made, for generators and tests. Only the fields of its protocol are used.
struct FrameSpec {
  MacAddress destination_mac{0x02, 0, 0, 0, 0, 2};
  MacAddress source_mac{0x02, 0, 0, 0, 0, 1};
  std::optional<uint16_t> vlan;
  IpAddress source = IpAddress::v4(198, 51, 100, 7);
  IpAddress destination = IpAddress::v4(192, 0, 2, 1);
  uint8_t tos = 0;
  uint8_t ttl = 64;
  uint8_t protocol = protocol::kTcp;
  Port source_port = 40000;
  Port destination_port = 443;
  uint8_t tcp_flags = tcp_flag::kSyn;
  uint32_t tcp_sequence = 1;
  uint32_t tcp_acknowledgement = 0;
  uint8_t icmp_type = 8;
  uint8_t icmp_code = 0;
  uint16_t icmp_id = 1;
  std::vector<std::byte> ip_options;  ///< A multiple of 4 bytes, at most 40.
  std::vector<std::byte> payload;     ///< Behind the transport header.
};

/// Ethernet, IPv4 and transport header with right lengths and checksums. Padded with zeros to 60 bytes, the least that
/// Ethernet carries (without its checksum).
std::vector<std::byte> build_frame(const FrameSpec& spec);

/// Writes right IPv4 and TCP, UDP or ICMP checksums into the packet at the front of `packet`, which must be whole,
/// unfragmented and sound but for them.
void fix_checksums(std::span<std::byte> packet);

}  // namespace tails::wire
